# SPDX-License-Identifier: ISC
"""What the commands show in a real terminal (tmux) of 80 and of 200 columns, with a real guest behind them."""
import re
import shutil

import pytest

from conftest import BUILD, as_user
from screen import Screen

NAME = "t-term"


def run(argv, env, cwd, **kw):
    return as_user(["env", "-C", cwd, *(f"{k}={v}" for k, v in env.items()), *argv], **kw)


@pytest.fixture(scope="module")
def home():
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    return as_user(["sh", "-c", "echo ~"], capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module", params=[80, 200])
def screen(banger, home, request):
    banger("vm", "delete", NAME)
    made = Screen(run, request.param, home, {"LC_ALL": "C.UTF-8", "PATH": f"{BUILD}/cli:/usr/bin:/bin", "TERM": "xterm-256color"}, rows=50)
    yield made
    made.end()
    banger("vm", "delete", NAME)


def shown(screen, command, seconds=120):
    """The lines of a command; none runs into the next."""
    lines = screen.run(f"banger {command}", seconds)
    print(f"--- {screen.columns} columns: {command}", *lines, sep="\n")
    assert all(len(line) <= screen.columns for line in lines)
    assert not any("\x1b" in line or "\ufffd" in line for line in lines)
    return lines


def test_create(screen):
    lines = shown(screen, f"vm create {NAME} --label suite=term --timing", 300)
    done = next(i for i, line in enumerate(lines) if re.match(rf"{NAME} is ready in [\d.]+ s, at [\d.]+$", line))
    stages = [line.split(None, 2)[2] for line in lines[:done]]
    assert "waiting for the guest" in stages and stages[-1] == "waiting for ssh", "one line for each stage, finished"
    assert any(re.match(r" *\d+ ms  total", line) for line in lines[done:]), "what --timing tells"


@pytest.mark.parametrize("command, first", [
    ("vm list", r"NAME +STATE +IMAGE"),
    ("vm list -l suite=term", r"NAME +STATE +IMAGE"),
    (f"vm show {NAME}", r"(?i)name +t-term"),
    (f"vm stats {NAME}", r"name +t-term"),
    (f"vm ports {NAME}", r"ADDRESS|PORT|PROTO"),
    ("image list", r"NAME +"),
    ("image show default", r"name +default"),
    ("kernel list", r"NAME +"),
    ("kernel show debian", r"name +debian"),
    ("daemon status", r"daemon +running for"),
    ("doctor", r"kernel|host|ok"),
])
def test_what_is_told(screen, command, first):
    lines = shown(screen, command)
    assert re.match(first, lines[0]), lines
    if command.startswith("vm list"):
        row = next(line for line in lines if line.startswith(NAME))
        assert row.split()[1] == "running", "no row is wrapped"
        assert "suite=term" in row


def test_in_the_guest(screen):
    assert shown(screen, f"vm exec {NAME} -- uname -s") == ["Linux"]
    lines = shown(screen, f"vm exec --tty {NAME} -- sh -c 'stty size; tput cols'")
    assert [line.split()[-1] for line in lines] == [str(screen.columns)] * 2, "the guest's terminal is as wide"
    assert shown(screen, f"vm ssh {NAME} -- uname -s") == ["Linux"]
    shown(screen, f"vm cp /etc/services {NAME}:/root/services")
    assert shown(screen, f"vm exec {NAME} -- test -s /root/services; echo $?") == ["0"]
    lines = shown(screen, f"vm logs --tail 5 {NAME}; echo")
    assert lines


def test_a_shell_and_the_reminder(screen):
    screen.type(f"clear; banger vm ssh {NAME}; PS1='done> '")
    screen.wait(f"root@{NAME}", 120)
    screen.type("echo $(stty size)")
    screen.wait(f"root@{NAME}")
    screen.type("exit")
    text = "\n".join(screen.result(60))
    assert f" {screen.columns}\n" in text
    assert "still runs" in text and f"banger vm stop {NAME}" in text, text


def test_many_and_the_question(screen):
    lines = shown(screen, f"vm stop {NAME} no-such-vm; echo status $?")
    assert any(re.match(rf"{NAME} stopped in [\d.]+ m?s", line) for line in lines)
    assert any("no-such-vm" in line for line in lines) and lines[-1] == "status 3"
    assert any(line.startswith(NAME) for line in shown(screen, f"vm set {NAME} --memory 768M"))
    screen.type("clear; banger vm prune; PS1='done> '")
    screen.wait("Delete", 30)
    assert any(NAME in line for line in screen.lines())
    screen.type("n")
    screen.result()
    assert any(line.startswith(NAME) for line in shown(screen, "vm list"))
    lines = shown(screen, f"vm delete {NAME}")
    assert re.match(rf"{NAME} deleted in", lines[-1])
