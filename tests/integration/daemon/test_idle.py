# SPDX-License-Identifier: ISC
"""Twenty idle VMs wake bangerd less than once a second. The VMs are played by tests/lib/fake-vmm, all else is real: monitor, engine,
its store, its helper. tests/bench/bench_idle.py looks for longer, and at real guests."""
import json
import os
import shutil

import pytest

from conftest import BUILD, Daemon, wait_for
from hostuser import HostUser
from idle import FakeVMs, is_asleep, parts, switches, traced, woken

VMS = 20
WINDOW_S = 20
PER_MINUTE = {"epoll_wait": 60, "all": 200}  # of engine and monitor together


@pytest.fixture
def vms():
    with HostUser("bgt-idle", groups=["banger"], loop_limit_ms=None) as user:
        os.chmod(user.home, 0o700)
        daemon = Daemon(user)
        daemon.env = user.env(BANGER_FAKE_VMM=shutil.copy(os.path.join(BUILD, "tests/lib/fake-vmm"), user.home))
        vms = FakeVMs(daemon.banger, user)
        yield vms
        vms.end()
        daemon.end()


def test_twenty_idle_vms(vms):
    vms.make(VMS)
    vms.ok("daemon", "restart")  # who has just read records is answered faster for half a minute: a new engine has no readers yet
    wait_for(lambda: (engine := parts(vms.user.uid).get("bangerd: engine")) and is_asleep(engine))
    found = parts(vms.user.uid)
    others = [pid for name, pid in found.items() if name not in ("bangerd: engine", "bangerd: monitor")]
    before = [switches(pid) for pid in others]
    calls = traced([found["bangerd: engine"], found["bangerd: monitor"]], WINDOW_S)
    woken_too = sum(woken(then, switches(pid)) for then, pid in zip(before, others))
    part = WINDOW_S / 60
    assert calls["epoll_wait"] <= PER_MINUTE["epoll_wait"] * part and sum(calls.values()) <= PER_MINUTE["all"] * part, calls
    assert calls["epoll_wait"] + woken_too <= WINDOW_S, f"{calls['epoll_wait']} wake-ups of engine and monitor, {woken_too} of {found}"
    # They are all there, and answer.
    states = [(vm["state"], vm["health"]) for vm in json.loads(vms.ok("vm", "list", "--json"))]
    assert states == [("running", "ok")] * VMS, states
