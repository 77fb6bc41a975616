# SPDX-License-Identifier: ISC
"""scripts/make-rpm: rpmbuild takes the spec, rpmlint finds nothing, owner, mode and capability are in the packages. Minutes: only in
`check packages`."""
import os

import pytest

from conftest import SOURCE, run


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    out = tmp_path_factory.mktemp("rpm")
    run(os.path.join(SOURCE, "scripts/make-rpm"), str(out))  # ends by rpmlint, whose findings are its failure
    return {p.name.rsplit("-", 2)[0]: str(p) for p in out.glob("*.rpm")}


def test_three_packages(packages):
    assert set(packages) == {"banger", "banger-privhelper", "banger-privhelper-disk"}


@pytest.mark.parametrize("name,path,rights,caps", [
    ("banger-privhelper", "/usr/libexec/banger/priv", "drwxr-x---:root:banger", ""),
    ("banger-privhelper", "/usr/libexec/banger/priv/banger-privhelper", "-rwxr-sr-x:root:banger-ledger", "cap_net_admin=p"),
    ("banger-privhelper-disk", "/usr/libexec/banger/priv/banger-privhelper-disk", "-rwxr-sr-x:root:banger-disk", "cap_sys_admin,cap_mknod=p"),
])
def test_rights(packages, name, path, rights, caps):
    rows = run("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEMODES:perms}:%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILECAPS}\n]", packages[name]).stdout.splitlines()
    row = next(r.split(" ") for r in rows if r.split(" ")[0] == path)
    assert row[1] == rights and set(row[2].replace("=p", "").split(",")) == set(caps.replace("=p", "").split(",")), rows


def test_no_user_service_is_restarted(packages):
    scripts = run("rpm", "-qp", "--scripts", packages["banger"]).stdout
    assert "restart" not in scripts
