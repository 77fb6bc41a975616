# SPDX-License-Identifier: ISC
"""The N-th allocation of the engine or of the store fails while a command runs: tests/lib/fail-malloc.c stands before malloc. The command
succeeds or says why not; a process that dies of it is started again; and then all that was acknowledged is there, and nothing else."""
import mmap
import os
import shutil
import signal
import struct
import subprocess

import pytest

from conftest import BUILD, DAY, SHARE, share_of
from hostuser import HostUser
from test_faults import COMMANDS, Bed, judge

MOST = 200  # of each command and process: every n-th where there are more


class Plan:
    def __init__(self, path, user):
        with open(path, "wb") as f:
            f.write(bytes(12))
        os.chown(path, user.uid, user.gid)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 12)

    def arm(self, pid, left):
        self.map[:] = struct.pack("<3i", 0, left, 0)
        self.map[:4] = struct.pack("<i", pid)

    def off(self):
        """How many there were."""
        self.map[:4] = bytes(4)
        return struct.unpack("<3i", self.map[:])


@pytest.fixture(scope="module")
def bed():
    with HostUser("bgt-memory", groups=["banger"], loop_limit_ms=None) as user:
        path = user.home + "/plan"
        plan = Plan(path, user)
        shim = os.path.join(BUILD, "tests/lib/libfail-malloc.so")
        if not os.path.exists(shim):
            pytest.skip("libfail-malloc.so is not built with sanitizers")
        b = Bed(user)
        b.host.banger("daemon", "stop")
        shutil.copy(shim, b.host.programs + "/shim.so")
        b.host.env.update(LD_PRELOAD=b.host.programs + "/shim.so", BANGER_FAIL_MALLOC=path)
        b.plan = plan
        b.host.banger("vm", "list")
        yield b
        b.host.kill()


def run(bed, command, role, left):
    words = command.command(bed)
    pids = bed.pids()
    bed.plan.arm(pids[role], left)
    try:
        # Where it is the answer itself that finds no memory, the client says so after a minute of silence.
        r = bed.host.banger(*words, ok=False, timeout=150)
    except subprocess.TimeoutExpired:
        r = None
    _, left, count = bed.plan.off()
    return r, pids, left, count


def try_allocation(bed, command, role, n):
    r, pids, left, _ = run(bed, command, role, n)
    if r is None:
        bed.failed.append((role, n, "no answer, though the client gives up by itself after a minute", bed.ops(), bed.host.log()[-1500:]))
        print(bed.failed[-1], flush=True)
        os.kill(pids["engine"], signal.SIGKILL)
        command.clean(bed, bed.shown()[1])
        return
    bed.before = bed.after = bed.shown()[1]
    wrong = judge(bed, command, r, pids, may_die=True)
    if wrong:
        bed.failed.append((role, n, r.returncode, r.stderr.strip()[-300:], wrong))
        print(bed.failed[-1], flush=True)
    bed.tried += left <= 0
    command.clean(bed, bed.after)


@pytest.mark.parametrize("name", [list(COMMANDS)[DAY % len(COMMANDS)]] if SHARE == 1 else list(COMMANDS))
def test_each_allocation_fails_once(bed, name):
    command = COMMANDS[name]()
    points = []
    for role in ("engine", "store"):
        _, _, _, count = run(bed, command, role, 0)
        command.clean(bed, bed.shown()[1])
        points += [(role, n) for n in range(1, count + 1, max(1, count // MOST))]
    bed.failed, bed.tried, bed.died = [], 0, 0
    for role, n in share_of(points, 3):
        try_allocation(bed, command, role, n)
    print(f"{name}: {bed.tried} allocations of {len(points)}, {bed.died} engines died, {len(bed.failed)} wrong")
    assert not bed.failed, (len(bed.failed), bed.failed[:6])
