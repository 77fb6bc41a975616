# SPDX-License-Identifier: ISC
"""Completion: what may follow, and the scripts in the shells themselves."""
import os
import shutil
import subprocess
import threading
import time

import pytest

from fake_daemon import image, kernel, running, vm


@pytest.fixture
def names(fake):
    fake.on("GET", "/v1/vms", {"vms": [vm("db"), running("web-1"), running("web-2")]})
    fake.on("GET", "/v1/images", {"images": [image("debian"), image("alpine")]})
    fake.on("GET", "/v1/kernels", {"kernels": [kernel("cloud")]})
    return fake


def complete(home, *words):
    r = home.run("__complete", "--", *words)
    assert r.status == 0 and r.err == "", r
    return [line.split("\t")[0] for line in r.out.splitlines()]


@pytest.mark.parametrize("words,expected", [
    (["v"], ["vm", "version"]),
    (["vm", "re"], ["restart", "resume", "rename"]),
    (["vm", "stop", ""], ["db", "web-1", "web-2"]),
    (["vm", "stop", "db", "w"], ["web-1", "web-2"]),
    (["vm", "rm", "d"], ["db"]),
    (["vm", "create", "--image", ""], ["debian", "alpine"]),
    (["vm", "create", "--image=de"], ["--image=debian"]),
    (["vm", "create", "--image", "=", "de"], ["debian"]),
    (["vm", "create", "--image", "="], ["debian", "alpine"]),
    (["vm", "create", "--kernel", "c"], ["cloud"]),
    (["vm", "kill", "--signal", "K"], ["KILL"]),
    (["vm", "stop", "--ti"], ["--timeout", "--timing"]),
    (["vm", "logs", "-n", ""], []),
    (["completion", ""], ["bash", "zsh", "fish"]),
    (["image", "show", "a"], ["alpine"]),
    (["kernel", "delete", ""], ["cloud"]),
    (["vm", "ssh", "db", "--", ""], []),
    (["vm", "ssh", ""], ["web-1", "web-2"]),  # of use for running ones only
    (["ssh", "web-1", ""], []),  # a command of its own
    (["vm", "cp", "w"], ["web-1:", "web-2:"]),
    (["vm", "cp", "n"], [":files"]),
    (["vm", "cp", "web-1:/x", ""], ["web-1:", "web-2:"]),
    (["rest"], ["restart"]),
    (["exec", "-t", "w"], ["web-1", "web-2"]),
    (["nonsense", "x"], []),
    (["ssh-"], ["ssh-config"]),
    (["__"], [])])
def test_what_may_follow(home, names, words, expected):
    assert complete(home, *words) == expected


def test_files_are_left_to_the_shell(home, names):
    assert complete(home, "kernel", "import", "") == [":files"]


def test_every_command_can_be_reached(home):
    for line in home.run("help").out.splitlines():
        if line.startswith("  ") and line[2].islower():
            words = [w for w in line.split() if w.islower() or "-" in w]
            assert words[0] in complete(home, words[0])


def test_without_a_daemon_nothing_is_started(home):
    assert complete(home, "vm", "stop", "") == []
    assert not os.path.exists(home.socket)
    assert "start" in complete(home, "vm", "")


def test_a_daemon_that_says_nothing_is_not_waited_for(home, fake):
    over = threading.Event()
    fake.on("GET", "/v1/vms", lambda conn: over.wait(60))
    assert complete(home, "vm", "stop", "") == []
    over.set()


def test_a_daemon_that_talks_nonsense(home, fake):
    for answer in ({"vms": 7}, {"vms": [1, {}, {"name": 3}]}, [], {"vms": [{"name": "a\nb"}]}):
        fake.on("GET", "/v1/vms", lambda conn, a=answer: conn.json(a))
        home.run("__complete", "--", "vm", "stop", "x")


def test_an_unknown_shell(home):
    r = home.run("completion", "tcsh")
    assert r.status == 2 and "bash, zsh or fish" in r.err


SHELLS = {
    # sets COMP_WORDS as readline does and prints what the function answers
    "bash": """
eval "$(banger completion bash)"
COMP_WORDS=(banger {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_banger 2>/dev/null; printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    # compsys needs a terminal: its part is played by a function that prints what it is given
    "zsh": """
compdef() {{ : }}
eval "$(banger completion zsh)"
_describe() {{ print -l ${{(P)2}} }}
_files() {{ print :files }}
words=(banger {words}); CURRENT=${{#words}}
_banger
""",
    "fish": """
banger completion fish | source
complete -C "banger {words}"
""",
}


def in_shell(home, shell, words):
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"{shell} is not installed")
    who = {} if home.uid is None else {"user": home.uid, "group": home.uid, "extra_groups": []}
    last = "" if shell == "fish" or not words.endswith(" ") else "''"
    script = SHELLS[shell].format(words=words + last)
    r = subprocess.run([path, "-c", script], env=home.env, cwd=home.path, capture_output=True,
                       text=True, timeout=60, check=False, **who)
    assert r.returncode == 0, r
    cut = {"bash": None, "zsh": ":", "fish": "\t"}[shell]
    return [line.split(cut)[0] if cut and line != ":files" else line
            for line in r.stdout.splitlines() if line]


@pytest.fixture(params=sorted(SHELLS))
def shell(request, home, names):
    home.program("bin/banger", f"#!/bin/sh\nexec {home.banger} \"$@\"\n")
    return lambda words: in_shell(home, request.param, words)


def test_in_the_shell(home, shell):
    assert shell("vm stop w") == ["web-1", "web-2"]
    assert shell("vm rest") == ["restart"]
    assert sorted(shell("vm stop ")) == ["db", "web-1", "web-2"]
    assert shell("vm create --image de") == ["debian"]


class Terminal:
    """zsh in a terminal of tmux, with a server of its own."""

    def __init__(self, home):
        self.home, self.socket = home, os.path.join(home.path, "tmux")
        with open(os.path.join(home.path, ".zshrc"), "w", encoding="utf-8") as file:
            file.write('PROMPT="ready> "\nautoload -Uz compinit && compinit -u -D\neval "$(banger completion zsh)"\n')
        home.own(home.path)
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "zsh", "-d")
        self.until(lambda text: "ready>" in text)

    def _tmux(self, *args):
        who = {} if self.home.uid is None else {"user": self.home.uid, "group": self.home.uid, "extra_groups": []}
        return subprocess.run(["tmux", "-S", self.socket, *args], env=self.home.env, cwd=self.home.path, text=True, capture_output=True,
                              timeout=60, check=False, **who).stdout

    def until(self, holds):
        end = time.monotonic() + 60
        while not holds(text := self._tmux("capture-pane", "-p")):
            assert time.monotonic() < end, text
            time.sleep(0.05)
        return text

    def complete(self, line, holds):
        self._tmux("send-keys", "C-u")
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Tab")
        return self.until(holds)

    def close(self):
        self._tmux("kill-server")


def test_zsh_on_a_terminal(home, names):
    """The real completion system, which the part above is played for."""
    for program in ("zsh", "tmux"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    home.program("bin/banger", f"#!/bin/sh\nexec {home.banger} \"$@\"\n")
    terminal = Terminal(home)
    try:
        terminal.complete("banger vm stop w", lambda text: "ready> banger vm stop web-" in text)
        text = terminal.complete("banger vm stop web-", lambda text: "web-2" in text)
        assert "web-1" in text and "db" not in text
        terminal.complete("banger vm create --image de", lambda text: "--image debian" in text)
        text = terminal.complete("banger vm rest", lambda text: "ready> banger vm restart" in text)
        assert "command not found" not in text and "banger:" not in text, text
    finally:
        terminal.close()
