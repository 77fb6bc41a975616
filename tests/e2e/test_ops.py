# SPDX-License-Identifier: ISC
"""A real boot that others steer, and a VMM that stands still: no corner without a way out."""
import os
import signal
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, wait_for

NAME = "t-ops"


def popen(*argv):
    command = [os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", *argv]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


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


def test_delete_ends_a_boot(banger, gone):
    boot_without_a_terminal(banger)
    banger.ok("vm", "delete", "--force", NAME)
    assert NAME not in [v["name"] for v in banger.json("vm", "list")]
