# SPDX-License-Identifier: ISC
"""What test_keeper_service.py runs as root on a host with systemd, where the helper and banger-keeper.service are installed."""
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

from guest import Guest  # noqa: E402
from hostuser import HostUser  # noqa: E402
from privclient import KEEPER, Helper, Refused  # noqa: E402
from test_keeper import Service, as_user_can, fences, flood, flush  # noqa: E402
from test_nat import HOST, eventually, rules, sh  # noqa: E402

UNIT = "banger-keeper.service"


def unit(name):
    return sh("systemctl", "show", "-P", name, UNIT).strip()


def pid():
    return int(unit("MainPID"))


def at_work():
    """Sealed: from then on it looks after its files."""
    try:
        with open(f"/proc/{pid()}/status") as f:
            return "Seccomp:\t2" in f.read()
    except OSError:
        return False


def it_runs_with_one_right(s):
    assert sh("systemctl", "is-enabled", UNIT).strip() == "enabled" and unit("ActiveState") == "active"
    assert eventually(at_work)
    with open(f"/proc/{pid()}/status") as f:
        text = f.read()
    for line in "CapPrm:\t0000000000001000", "CapEff:\t0000000000001000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1":
        assert line in text, text
    assert unit("User") == "banger-keeper" and fences() == 1 and rules(s.helper)


def closed(s, times=20):
    """Nothing of what the guest sends to this host arrives while root flushes its rules."""
    with Service() as service:
        flood(s.guest, times, flush)
        assert service.heard() == 0


def flushes_while_the_users_helper_is_stopped(s):
    closed(s)
    assert as_user_can(s.user, lambda: os.kill(s.helper.pid, signal.SIGSTOP))
    closed(s)


def flushes_while_it_is_dead(s):
    assert as_user_can(s.user, lambda: os.kill(s.helper.pid, signal.SIGKILL))
    s.helper.wait()
    closed(s)


def the_rules_come_back_without_a_helper(s):
    flush()
    assert eventually(lambda: rules(s.helper)) and fences() == 1


def the_user_cannot_stop_it(s):
    was = pid()
    assert not as_user_can(s.user, lambda: os.kill(was, signal.SIGKILL))
    for verb in "stop", "kill", "restart":
        assert s.user.run(["systemctl", "--no-ask-password", verb, UNIT], capture_output=True).returncode != 0
    assert pid() == was and at_work()
    closed(s, 5)


def started_again(was):
    return pid() not in (0, was) and at_work() and fences() == 1


def killed_it_starts_again(s):
    """Meanwhile the helper's table stands; one kill after the other, which is not too often for systemd."""
    for _ in range(7):
        was = pid()
        with Service() as service:
            os.kill(was, signal.SIGKILL)
            flood(s.guest, 1, lambda: eventually(lambda: started_again(was)))
            assert service.heard() == 0
        assert started_again(was)
    closed(s)


def another_configuration(s):
    was = pid()
    with open("/etc/banger/privhelper.conf", "a") as f:
        f.write("# another\n")
    assert eventually(lambda: started_again(was))
    closed(s, 5)


def a_new_ledger(s):
    """Replaced by an administrator: it watches the new file."""
    was = pid()
    with Helper(s.user) as h:
        h.hello()
        h.cleanup()
    s.guest.close()
    sh("mv", "/var/lib/banger/net.ledger", "/var/lib/banger/net.ledger.old")
    sh("install", "-o", "root", "-g", "banger-ledger", "-m", "0660", "/dev/null", "/var/lib/banger/net.ledger")
    assert eventually(lambda: pid() not in (0, was) and at_work())
    s.begin()
    closed(s, 5)


def stopped_no_tap_is_made(s):
    sh("systemctl", "stop", UNIT)
    s.helper.kill()
    s.guest.close()
    with Helper(s.user) as h:
        h.info = h.hello()
        h.cleanup()
        if fences():  # a kernel that keeps it
            sh("nft", "delete", "table", "ip", f"banger-fence-{h.info['index']}")
        try:
            h.attach(0)
            raise AssertionError("a tap without a keeper")
        except Refused as e:
            assert e.code == KEEPER
    sh("systemctl", "start", UNIT)
    assert eventually(at_work)


def uninstalled(_s):
    sh(os.environ["BANGER_SOURCE"] + "/scripts/install-helper", "--uninstall")
    assert subprocess.run(["systemctl", "status", UNIT], capture_output=True).returncode == 4, "no such unit"
    assert fences() == 0 and subprocess.run(["getent", "passwd", "banger-keeper"], capture_output=True).returncode != 0


class State:
    """One user with one guest."""

    def __init__(self, user):
        self.user = user
        self.begin()

    def begin(self):
        self.helper = Helper(self.user)
        self.helper.info = self.helper.hello()
        self.helper.cleanup()
        self.guest = Guest(self.helper.attach(0))


def main():
    sh("ip", "address", "add", HOST + "/32", "dev", "lo")
    assert eventually(at_work)
    with HostUser("bgt-alice", ["banger"]) as user:
        s = State(user)
        for step in (it_runs_with_one_right, flushes_while_the_users_helper_is_stopped, flushes_while_it_is_dead,
                     the_rules_come_back_without_a_helper, the_user_cannot_stop_it, killed_it_starts_again, another_configuration,
                     a_new_ledger, stopped_no_tap_is_made, uninstalled):
            began = time.monotonic()
            step(s)
            print(step.__name__, flush=True)
            print(f"{step.__name__}: {time.monotonic() - began:.1f} s", file=sys.stderr)


main()
