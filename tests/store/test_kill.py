# SPDX-License-Identifier: ISC
"""kill -9 of each process in the middle of each command: the command says what became of it, and is believed: what it acknowledged is there,
what it did not is whole, undone or named; nothing is left that no command lists, and nothing stays busy."""
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import DAY, SHARE, wait_for
from hostuser import HostUser
from test_faults import COMMANDS, vm_state
from test_faults import Bed as FaultsBed

DELAYS_MS = (0, 2, 5, 10, 20, 40, 80)
VICTIMS = ("engine", "monitor", "store", "worker", "vmm", "all")


class Bed(FaultsBed):
    def shown(self):
        """An engine whose monitor was killed answers until it ends: asked again then."""
        end = time.monotonic() + 60
        while True:
            try:
                return super().shown()
            except (AssertionError, ValueError):
                if time.monotonic() > end:
                    raise


class Stop:
    def command(self, bed):
        bed.host.banger("vm", "start", "a")
        return "vm", "stop", "a"

    def done(self, shown):
        return vm_state(shown, "a") == "stopped"

    def clean(self, bed, shown):
        bed.host.banger("vm", "kill", "a", ok=False)


class Rename:
    names = ["c", "d"]

    def command(self, bed):
        self.names = [n for n in ("c", "d") if n in bed.shown()[1][1]] + [n for n in ("c", "d") if n not in bed.shown()[1][1]]
        if self.names[0] not in bed.shown()[1][1]:
            bed.host.banger("vm", "create", self.names[0], "--image", "r", "--cpus", "1", "--memory", "128M", "--no-start")
        return "vm", "rename", *self.names

    def done(self, shown):
        return vm_state(shown, self.names[1]) is not None and vm_state(shown, self.names[0]) is None

    def clean(self, bed, shown):
        pass


class Export:
    def command(self, bed):
        self.path = bed.host.user.home + "/exported"
        if os.path.exists(self.path):
            os.unlink(self.path)
        return "image", "export", "r", self.path

    def done(self, shown):
        return os.path.exists(self.path)

    def clean(self, bed, shown):
        left = [n for n in os.listdir(bed.host.user.home) if "part" in n]
        assert left == [], "parts of exports"


class Boot(COMMANDS["create"]):
    def command(self, bed):
        return [w for w in super().command(bed) if w != "--no-start"]

    def done(self, shown):
        return vm_state(shown, "x") == "running"


ALL = {**COMMANDS, "stop": Stop, "rename": Rename, "export": Export, "boot": Boot}


@pytest.fixture(scope="module")
def bed():
    with HostUser("bgt-kill", groups=["banger"], loop_limit_ms=None) as user:
        try:
            b = Bed(user)
            yield b
        finally:
            subprocess.run(["pkill", "-KILL", "-u", user.name])


def find(bed, victim):
    out = subprocess.run(["ps", "-u", bed.host.user.name, "-o", "pid=,args="], capture_output=True, text=True).stdout
    words = {"engine": "bangerd: engine", "monitor": "bangerd: monitor", "store": "bangerd: store", "worker": "banger-worker", "vmm": "fake-vmm -name",
             "all": "bangerd: "}[victim]
    return [int(line.split(None, 1)[0]) for line in out.splitlines() if words in line]


def kill(bed, victim):
    pids = find(bed, victim)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(pids)


def strike(bed, command, victim, delay_ms):
    words = command.command(bed)
    p = bed.host.user.popen([bed.host.programs + "/cli/banger", *words], env=bed.host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    time.sleep(delay_ms / 1000)
    hit = kill(bed, victim)
    _, err = p.communicate(timeout=150)
    return hit, p.returncode, err


def wrong_after(bed, command, victim, status, err):
    facts, before = bed.shown()
    if status == 0 and not command.done(before) and victim != "vmm":
        return f"acknowledged, and it is not so: {before}"
    if status != 0 and not err.strip():
        return "failed without a word"
    if status != 0 and "Traceback" in err:
        return err
    kill(bed, "engine")
    facts, after = bed.shown()
    if victim != "vmm" and after != before:
        return f"before a second kill: {before}, after it: {after}"
    wait_for(lambda: not any(op["state"] == "running" for op in bed.ops()))
    busy = [vm["name"] for vm in facts.vms if vm["state"] in ("creating", "starting", "stopping", "deleting")]
    return busy or facts.unlisted() or facts.store["missing"] or None


def todays():
    names = list(ALL)
    if SHARE:
        names = [names[(DAY * 2 + i) % len(names)] for i in range(2)]
    return names


@pytest.mark.parametrize("name", todays())
def test_each_process_killed_at_some_moments(bed, name):
    command, failed, hits, tries = ALL[name](), [], 0, 0
    rng = random.Random(f"{name}{DAY}")
    for victim in VICTIMS:
        for delay in rng.sample(DELAYS_MS, 1) if SHARE else DELAYS_MS:
            hit, status, err = strike(bed, command, victim, delay)
            hits += hit
            tries += 1
            wrong = wrong_after(bed, command, victim, status, err)
            if wrong:
                failed.append((victim, delay, status, err.strip()[-300:], wrong))
                print(failed[-1], flush=True)
            bed.host.banger("vm", "list", "--quiet")
            command.clean(bed, bed.shown()[1])
    print(f"{name}: {hits} kills in {tries} tries, {len(failed)} wrong")
    assert not failed, (len(failed), failed[:6])
