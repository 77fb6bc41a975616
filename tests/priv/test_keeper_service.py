# SPDX-License-Identifier: ISC
"""banger-keeper as scripts/install-helper installs it, under a real systemd; what happens in there is keeper_service.py."""
import os

import pytest

from systemdhost import SystemdHost

SOURCE = os.path.abspath(os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILD = os.path.abspath(os.environ.get("BANGER_HELPER_BUILD") or os.environ.get("BANGER_BUILD", os.path.join(SOURCE, "build")))
STEPS = ["it_runs_with_one_right", "flushes_while_the_users_helper_is_stopped", "flushes_while_it_is_dead", "the_rules_come_back_without_a_helper",
         "the_user_cannot_stop_it", "killed_it_starts_again", "another_configuration", "a_new_ledger", "stopped_no_tap_is_made", "uninstalled"]


@pytest.fixture(scope="module")
def machine():
    if SystemdHost.missing():
        pytest.skip(SystemdHost.missing())
    with SystemdHost({SOURCE, BUILD, os.path.dirname(os.environ["BANGER_PRIV_HASH"])}) as host:
        host.run("rm", "-rf", "/etc/banger", "/var/lib/banger", "/usr/libexec/banger")
        said = host.run(SOURCE + "/scripts/install-helper", BUILD).stdout
        assert "holds up the rules of VMs" in said, said
        yield host


def test_as_a_service(machine):
    """All in one go: each step finds what the one before left."""
    p = machine.run("python3", "-B", os.path.join(SOURCE, "tests/priv/keeper_service.py"), ok=False,
                    BANGER_PRIV_HASH=os.environ["BANGER_PRIV_HASH"], BANGER_SOURCE=SOURCE)
    assert p.returncode == 0 and p.stdout.split() == STEPS, p.stdout + p.stderr + machine.run("journalctl", "-b", "-u", "banger-keeper", ok=False).stdout
