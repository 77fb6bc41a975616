# SPDX-License-Identifier: ISC
"""The terminal UI with a real daemon and a real guest: created, looked into and deleted by keys."""
import shutil

import pytest

from conftest import BOOT_S, BUILD, as_user
from screen import FullScreen

NAME = "t-tui"


def run(argv, env, cwd, **kw):
    return as_user(["env", "-C", cwd, *(f"{k}={v}" for k, v in env.items()), *argv], **kw)


@pytest.fixture
def screen(banger):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    home = as_user(["sh", "-c", "echo ~"], capture_output=True, text=True).stdout.strip()
    banger("vm", "delete", NAME)
    made = FullScreen(run, 80, 24, home, {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, f"{BUILD}/cli/banger tui")
    yield made
    made.end()
    banger("vm", "delete", "--force", NAME)


def test_a_guest_by_keys(screen, banger):
    screen.wait_for(r"1 VMs \d")
    screen.keys("c", "C-u", NAME)
    screen.wait_for(f"banger vm create {NAME}")
    screen.keys("Enter")
    screen.wait_for(rf"~ {NAME} +(creating|starting)")
    screen.keys("/", NAME, "Enter")
    # ready, with an address and what the guest and the host say of its memory
    screen.wait_for(rf"^> \* {NAME} +running +\d+% .*\d+[KMG] +\d+[KMG] +\d+[KMG] +\d+\.\d+\.\d+\.\d+", BOOT_S)
    screen.keys("e")
    screen.wait_for(f"run a command > {NAME}")
    screen.keys("sh -c uname;read", "Enter")
    screen.wait_for(r"it ended with status 2: Enter goes back", BOOT_S)
    screen.keys("Enter")
    screen.wait_for(rf"^> \* {NAME} +running", BOOT_S)
    screen.keys("l")
    screen.wait_for(r"[1-9]\d* lines", BOOT_S)
    screen.keys("q")
    screen.wait_for(rf"^> \* {NAME} +running")
    banger.ok("daemon", "restart", "--wait")
    screen.wait_for(rf"^> \* {NAME} +running +\d+%", BOOT_S)
    screen.keys("D")
    screen.wait_for("Type 1 and Enter to delete")
    screen.keys("1", "Enter")
    screen.wait_for("Nothing matches the filter", BOOT_S)
    assert NAME not in banger.ok("vm", "list", "-q").out.split()
    screen.keys("q")
    screen.wait_for("^ended 0")
