# SPDX-License-Identifier: ISC
"""The network helper on a host as its users have it: file capability, groups, udev's device modes."""
import os
import subprocess

import pytest

from labhost import SOURCE, run
from privclient import HELPER, Helper


def test_installed_as_documented(helper_installed):
    assert "cap_net_admin=p" in run(["getcap", os.path.realpath(HELPER)])
    assert run(["stat", "-Lc", "%U:%G %a", HELPER]).strip() == "root:banger-ledger 2755"
    assert run(["stat", "-c", "%U:%G %a", os.path.dirname(os.path.realpath(HELPER))]).strip() == "root:banger 750"


def test_member_attaches_a_slot(member):
    with Helper(member) as h:
        hello = h.hello()
        net = h.attach(5)
        show = run(["ip", "-d", "addr", "show", net["tap"]])
        assert f"user {member.name}" in show and f"inet {hello['gateway']}/32" in show
        assert h.list() == 1 << 5
        assert h.detach(5) == 1
    assert not os.path.exists(f"/sys/class/net/{net['tap']}")


def test_tap_stays_when_the_helper_ends(member):
    with Helper(member) as h:
        h.hello()
        tap = h.attach(6)["tap"]
    assert os.path.exists(f"/sys/class/net/{tap}")
    with Helper(member) as h:
        h.hello()
        assert h.list() == 1 << 6
        h.cleanup()
    assert not os.path.exists(f"/sys/class/net/{tap}")


def test_outsider_cannot_run_it(outsider):
    out = outsider.run([HELPER], capture_output=True, text=True)
    assert out.returncode in (126, 127) and "Permission denied" in out.stderr


def test_copy_of_it_has_no_power(outsider):
    """What an outsider gets hold of otherwise has neither capability nor ledger."""
    copy = f"{outsider.home}/privhelper"
    run(["install", "-o", outsider.name, "-m", "755", f"{SOURCE}/build/privhelper/banger-privhelper", copy])
    with Helper(outsider, helper=copy) as h:
        with pytest.raises(Exception) as refused:
            h.hello()
    assert type(refused.value).__name__ in ("Refused", "Ended")


def test_install_again_changes_nothing(helper_installed):
    before = run(["stat", "-Lc", "%n %U:%G %a %s", HELPER, "/var/lib/banger/net.ledger", "/etc/banger/privhelper.conf"])
    run(["scripts/install-helper", "build"], cwd=SOURCE)
    assert run(["stat", "-Lc", "%n %U:%G %a %s", HELPER, "/var/lib/banger/net.ledger", "/etc/banger/privhelper.conf"]) == before
    assert subprocess.run(["getcap", os.path.realpath(HELPER)], capture_output=True).stdout
