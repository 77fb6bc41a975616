# SPDX-License-Identifier: ISC
"""banger tui in a real terminal (tmux), before a played bangerd: see world.py."""
import functools
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, HERE)

from screen import FullScreen  # noqa: E402
from world import World  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BANGER_BUILD", os.path.join(HERE, "../../../build")))
BANGER = os.path.join(BUILD, "cli/banger")
ORDINARY_UID = 64123  # banger refuses root


class Home:
    def __init__(self, path):
        self.path = path
        self.uid = ORDINARY_UID if os.geteuid() == 0 else None
        self.who = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        self.run = os.path.join(path, ".local/state/banger/run")
        self.socket = os.path.join(self.run, "bangerd.sock")
        os.makedirs(self.run, 0o700)
        self.own()
        self.env = {"HOME": path, "PATH": f"{path}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def own(self):
        for top, dirs, files in os.walk(self.path):
            for name in [top] + [os.path.join(top, f) for f in dirs + files]:
                if self.uid is not None:
                    os.chown(name, self.uid, self.uid, follow_symlinks=False)

    def program(self, name, text):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o755)
        self.own()
        return path

    def process(self):
        """The pid of banger-tui, of this home: one of the test before may still be ending."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/environ", "rb") as environ:
                    if comm.read().strip() == "banger-tui" and f"HOME={self.path}".encode() in environ.read().split(b"\0"):
                        return int(pid)
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                pass
        raise AssertionError("banger-tui does not run")


@pytest.fixture
def home():
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    path = tempfile.mkdtemp(prefix="bgtui.", dir="/tmp")
    try:
        yield Home(path)
    finally:
        shutil.rmtree(path)


@pytest.fixture
def world(home):
    with World(home.socket, home.uid) as made:
        yield made


@pytest.fixture
def tui(home):
    """A function that starts it: tui(columns, rows, command=..., NAME=value of the environment)."""
    screens = []

    def make(columns=80, rows=24, command=f"{BANGER} tui", term="tmux-256color", **env):
        screens.append(FullScreen(functools.partial(subprocess.run, **home.who), columns, rows, home.path, {**home.env, **env}, command, term))
        return screens[-1]

    yield make
    for one in screens:
        one.end()
