# SPDX-License-Identifier: ISC
"""bangerd as an ordinary user that the tests make: needs root, else skipped with that reason."""
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib")
sys.path.insert(0, LIB)

from hostuser import HostUser, is_root  # noqa: E402
from waiting import wait_for  # noqa: E402,F401

BUILD = os.environ.get("BANGER_BUILD", "build")


def pytest_collection_modifyitems(items):
    if is_root():
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="needs root: it makes a user to run bangerd as"))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Daemon:
    """One user with bangerd's files in its home, and what was started there."""

    def __init__(self, user):
        self.user = user
        self.started = []
        # The build tree may lie where only root gets to. The engine looks for the others as they lie there.
        for name in ("daemon/bangerd", "worker/banger-worker", "guest/banger-init", "launcher/banger-launch", "cli/banger"):
            os.makedirs(os.path.join(user.home, os.path.dirname(name)), 0o755)
            shutil.copy(os.path.join(BUILD, name), os.path.join(user.home, name))
        self.exe = user.home + "/daemon/bangerd"
        self.http = shutil.copy(os.path.join(LIB, "unixhttp.py"), user.home)
        os.chmod(self.exe, 0o755)
        os.chmod(self.http, 0o644)
        self.state = user.home + "/.local/state/banger"
        self.run = self.state + "/run"
        self.socket = self.run + "/bangerd.sock"
        self.env = user.env(BANGER_PRIVHELPER="/nowhere/helper")

    def start(self):
        """(the line on the ready fd, the monitor's Popen)"""
        r, w = os.pipe()
        p = self.user.popen([self.exe, "--ready-fd", str(w)], env=self.env, pass_fds=[w],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.started.append(p)
        os.close(w)
        with os.fdopen(r) as f:
            return f.read(), p

    def start_ok(self):
        line, p = self.start()
        assert line == "ok\n", line + p.stderr.read().decode() + self.log_text()
        return p

    def call(self, method="GET", path="/v1/daemon"):
        r = self.user.run(["python3", self.http, self.socket, method, path], capture_output=True, env=self.env)
        return json.loads(r.stdout) if r.returncode == 0 else None

    def banger(self, *args, timeout=60):
        """The CLI, which starts this bangerd."""
        return self.user.run([self.user.home + "/cli/banger", *args], capture_output=True, text=True, env=self.env,
                             timeout=timeout)

    def engine(self):
        return self.call()["body"]["pid"]

    def log_text(self):
        try:
            with open(self.state + "/bangerd.log") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self):
        """Those that are whole: another process writes them."""
        return [json.loads(line) for line in self.log_text().splitlines(keepends=True) if line.endswith("\n")]

    def config(self, text):
        os.makedirs(self.user.home + "/.config/banger", exist_ok=True)
        with open(self.user.home + "/.config/banger/config.toml", "w") as f:
            f.write(text)
        subprocess.run(["chown", "-R", self.user.name, self.user.home + "/.config"], check=True)

    def end(self):
        for p in self.started:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
                p.wait(90)
            p.stderr.close()
        self.banger("daemon", "stop", "--force")  # one that the CLI started


@pytest.fixture
def daemon():
    with HostUser("bgt-daemon") as user:
        os.chmod(user.home, 0o700)
        d = Daemon(user)
        yield d
        d.end()
