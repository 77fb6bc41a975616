# SPDX-License-Identifier: ISC
"""A real boot that others steer, and a VMM that stands still: no corner without a way out."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, wait_for

NAME = "t-ops"


def popen(*argv):
    command = [os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", *argv]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


@contextlib.contextmanager
def qmp(vm_id):
    """QEMU's own commands, past the daemon, which speaks to it only for a moment at a time."""
    with open("/proc/net/unix") as f:
        paths = {line.split()[-1] for line in f if f"/vm/{vm_id[:12]}/qmp.sock" in line}
    with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as f:
        s.settimeout(60)
        s.connect(paths.pop())
        f.readline()

        def command(name):
            f.write(json.dumps({"execute": name}) + "\n")
            f.flush()
            while "return" not in json.loads(f.readline()):
                pass  # an event
        command("qmp_capabilities")
        yield command


@pytest.fixture
def gone(banger):
    banger("vm", "delete", "--force", NAME)
    yield
    banger("vm", "delete", "--force", NAME)


def boot_without_a_terminal(banger):
    """Its client is killed as soon as the guest boots."""
    p = popen("create", NAME, "--memory", "512M")
    for line in p.stderr:
        if "waiting for the guest" in line:
            break
    os.killpg(p.pid, signal.SIGKILL)
    p.communicate()
    assert banger.json("vm", "show", NAME)["state"] == "starting"


def test_a_boot_and_a_vmm_that_stands_still(banger, gone):
    boot_without_a_terminal(banger)
    operation = banger.json("vm", "show", NAME)["operation"]
    assert [o["kind"] for o in banger.json("op", "list") if o["id"] == operation] == ["vm.create"]
    banger.fails(4, f"banger vm delete --force {NAME}", "vm", "delete", NAME)
    banger.ok("vm", "kill", NAME)
    record = banger.json("vm", "show", NAME)
    assert record["state"] == "stopped" and record["error"] is None and record["health"] is None
    assert banger.json("op", "show", operation)["state"] == "cancelled"

    # Who comes while it starts waits for it, and a second start is the same one.
    starts = [popen("start", NAME) for _ in range(2)]
    wait_for(lambda: banger.json("vm", "show", NAME)["state"] == "starting")
    assert NAME in banger.ok("vm", "exec", NAME, "--", "hostname").out
    for p in starts:
        p.communicate()
        assert p.returncode == 0

    # Nobody has looked for a while; then the VMM is stopped, and whoever looks is told.
    record = banger.json("vm", "show", NAME)
    assert record["health"] == "ok" and record["ready"]
    os.kill(record["pid"], signal.SIGSTOP)
    try:
        began = time.monotonic()
        wait_for(lambda: banger.json("vm", "show", NAME)["health"] == "vmm_silent", 30)
        assert time.monotonic() - began < 15  # 10 and what a loaded machine adds
        assert "VMM silent" in banger.ok("vm", "list").out
        banger.fails(6, "does not answer", "vm", "exec", NAME, "--", "true")
    finally:
        os.kill(record["pid"], signal.SIGCONT)
    wait_for(lambda: banger.json("vm", "show", NAME)["health"] == "ok", 60)
    banger.ok("vm", "exec", NAME, "--", "true")
    check_a_gap(banger)


def gap_of(banger):
    return banger.json("vm", "show", NAME)["gap"]


def check_clock(banger):
    """Within 100 ms of the time that the question took."""
    before = time.time()
    guest = float(banger.ok("vm", "exec", NAME, "--", "date", "+%s.%N").out)
    assert before - 0.1 <= guest <= time.time() + 0.1


def check_a_gap(banger):
    """The machine stands still and nobody says so: the agent's ping shows it, and the agent puts it right."""
    record = banger.json("vm", "show", NAME)
    assert record["agent_note"] is None
    with qmp(record["id"]) as command:
        before = gap_of(banger)
        command("stop")
        time.sleep(4)  # that is the gap
        command("cont")
    wait_for(lambda: gap_of(banger) not in (None, before), 120)
    gap = gap_of(banger)
    assert gap["after"] == "clock" and gap["clock"] and gap["randomness"] and gap["network"], gap
    assert 3000 < gap["step_ms"] < 120000, gap
    check_clock(banger)
    assert "clock right, randomness renewed, network announced" in banger.ok("vm", "show", NAME).out


def test_delete_ends_a_boot(banger, gone):
    boot_without_a_terminal(banger)
    banger.ok("vm", "delete", "--force", NAME)
    assert NAME not in [v["name"] for v in banger.json("vm", "list")]
