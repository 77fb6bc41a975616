# SPDX-License-Identifier: ISC
"""scripts/make-deb: the packages build, lintian finds nothing, and each has its parts. Minutes: only in `check packages`."""
import os

import pytest

from conftest import SOURCE, run

PARTS = {
    "banger": {"usr/bin/banger", "usr/libexec/banger/bangerd", "usr/libexec/banger/banger-init", "usr/lib/systemd/user/bangerd.service",
               "usr/share/bash-completion/completions/banger", "usr/share/man/man1/banger.1.gz"},
    "banger-privhelper": {"usr/libexec/banger/priv/banger-privhelper", "usr/libexec/banger/banger-privhelper", "etc/banger/privhelper.conf",
                          "usr/lib/sysusers.d/banger-privhelper.conf"},
    "banger-privhelper-disk": {"usr/libexec/banger/priv/banger-privhelper-disk", "usr/lib/tmpfiles.d/banger-privhelper-disk.conf"},
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    out = tmp_path_factory.mktemp("deb")
    run(os.path.join(SOURCE, "scripts/make-deb"), str(out))  # ends by lintian, whose findings are its failure
    return {p.name.split("_")[0]: p for p in out.glob("*.deb")}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_parts(packages, name):
    has = {line.split()[5].removeprefix("./") for line in run("dpkg-deb", "-c", str(packages[name])).stdout.splitlines()}
    assert PARTS[name] <= has, PARTS[name] - has
    assert not [f for f in has if f.startswith(("home/", "usr/local/"))]


def test_units_are_not_enabled_for_all_users(packages):
    """A package that enables a user unit enables it for every user of the host."""
    scripts = run("dpkg-deb", "-I", str(packages["banger"]), "postinst", ok=False).stdout
    assert "deb-systemd-helper --user enable" not in scripts
