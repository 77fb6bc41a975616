# SPDX-License-Identifier: ISC
"""scripts/make-deb: the packages build, lintian finds nothing, and each has its parts. Minutes: only in `check packages`."""
import os

import pytest

from conftest import SOURCE, run

PARTS = {
    "banger": {"usr/bin/banger", "usr/libexec/banger/bangerd", "usr/libexec/banger/banger-init", "usr/lib/systemd/user/bangerd.service",
               "usr/share/bash-completion/completions/banger", "usr/share/man/man1/banger.1.gz",
               "usr/share/man/man1/banger-vm.1.gz", "usr/share/man/man5/banger.toml.5.gz", "usr/share/man/man8/bangerd.8.gz"},
    "banger-privhelper": {"usr/libexec/banger/priv/banger-privhelper", "usr/libexec/banger/banger-privhelper", "etc/banger/privhelper.conf",
                          "usr/lib/sysusers.d/banger-privhelper.conf", "usr/share/man/man5/privhelper.conf.5.gz",
                          "usr/share/man/man8/banger-privhelper.8.gz"},
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
    """A package that enables a user unit enables it for every user of the host; enabled again is only what was."""
    lines = [line.strip() for line in run("dpkg-deb", "-I", str(packages["banger"]), "postinst").stdout.splitlines()]
    enables = [i for i, line in enumerate(lines) if "--user enable" in line]
    asked = [i for i, line in enumerate(lines) if line.startswith("if ") and "--user debian-installed" in line]
    assert asked and all(i > asked[0] for i in enables)


def test_the_keeper_can_be_started_by_its_own_user(packages):
    """The folder of the helpers is closed to it."""
    has = run("dpkg-deb", "-c", str(packages["banger-privhelper"])).stdout
    assert "./usr/libexec/banger/banger-keeper" in has and "priv/banger-keeper" not in has
