# SPDX-License-Identifier: ISC
"""How the CLI is run: as an ordinary user with a home of its own, on a pipe or on a terminal."""
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

import pytest

from fake_daemon import FakeDaemon

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
BUILD = os.environ.get("BANGER_BUILD", os.path.join(os.path.dirname(__file__), "../../../build"))
BANGER = os.path.abspath(os.path.join(BUILD, "cli/banger"))
# banger refuses root, so a root test run becomes this user, who owns nothing else.
ORDINARY_UID = 64123
DEADLINE_S = 60
# A run in the background of a script inherits an ignored SIGINT, and would hand it on to banger.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Terminal:
    """banger on a terminal of its own; both stdout and stderr go there."""

    def __init__(self, process, master):
        self.process, self.master, self.text = process, master, ""

    def _read(self):
        ready, _, _ = select.select([self.master], [], [], 0.5)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, text):
        end = time.monotonic() + DEADLINE_S
        while text not in self.text:
            assert time.monotonic() < end, f"no {text!r} in {self.text!r}"
            assert self._read() or text in self.text, f"ended without {text!r}: {self.text!r}"

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def type(self, text):
        os.write(self.master, text.encode())

    def finish(self):
        end = time.monotonic() + DEADLINE_S
        while self._read():
            assert time.monotonic() < end, f"still there after {self.text!r}"
        os.close(self.master)
        status = self.process.wait(DEADLINE_S)
        return Result(status, self.text.replace("\r\n", "\n"), "")


class Home:
    """A user's home: directories, environment, the commands run in it."""

    def __init__(self, path):
        self.path = path
        self.uid = ORDINARY_UID if os.geteuid() == 0 else None
        self.run_dir = os.path.join(path, ".local", "state", "banger", "run")
        self.socket = os.path.join(self.run_dir, "bangerd.sock")
        self.banger = BANGER
        os.makedirs(self.run_dir)
        self.own(path)
        self.env = {"HOME": path, "XDG_RUNTIME_DIR": os.path.join(path, "run"), "TERM": "xterm",
                    "PATH": os.path.join(path, "bin") + ":/usr/bin:/bin"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_PRELOAD"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def own(self, path):
        """Gives a tree to the ordinary user."""
        if self.uid is None:
            return
        os.chown(path, self.uid, self.uid)
        for top, dirs, files in os.walk(path):
            for name in dirs + files:
                os.chown(os.path.join(top, name), self.uid, self.uid, follow_symlinks=False)

    def file(self, name, text=""):
        """A file below the home."""
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as f:
            f.write(text)

    def program(self, name, text):
        """An executable script at a path below the home."""
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        self.own(self.path)
        return path

    def start(self, *args, before=(), **more):
        who = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        more = {"env": self.env, "cwd": self.path, "stdin": subprocess.DEVNULL, **who, **more}
        return subprocess.Popen([*before, self.banger, *args], **more)

    def run(self, *args, stdin=None, env=None, before=()):
        """before: a command that runs it, such as strace."""
        process = self.start(*args, before=before, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**self.env, **(env or {})},
                             stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        out, err = process.communicate(stdin, DEADLINE_S)
        return Result(process.returncode, out, err)

    def terminal(self, *args, columns=80, env=None):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = self.start(*args, stdin=slave, stdout=slave, stderr=slave,
                             env={**self.env, **(env or {})})
        os.close(slave)
        return Terminal(process, master)

    def on_terminal(self, *args, columns=80, env=None):
        return self.terminal(*args, columns=columns, env=env).finish()


@pytest.fixture
def home():
    path = tempfile.mkdtemp(prefix="bgcli.", dir="/tmp")
    try:
        yield Home(path)
    finally:
        shutil.rmtree(path)


@pytest.fixture
def fake(home):
    with FakeDaemon(home.socket, home.uid) as daemon:
        yield daemon


def pytest_configure(config):
    if not os.access(BANGER, os.X_OK):
        sys.exit(f"build banger first: {BANGER} is missing (BANGER_BUILD names the build tree)")
