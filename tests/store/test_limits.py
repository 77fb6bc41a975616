# SPDX-License-Identifier: ISC
"""What a shell's limits do to the daemon that it starts, and another program that holds the database."""
import glob
import os
import signal
import sqlite3

import pytest

from conftest import Host, wait_for
from playedhost import listed

KIB = 1024


@pytest.fixture
def host(user):
    h = Host(user)
    try:
        h.make_image()
        h.make_vm("a", "--no-start")
        h.banger("image", "export", "r", user.home + "/bundle")
        yield h
    finally:
        h.kill()


def limited(host, size, *words):
    """A command with `ulimit -f`, which the daemon that it starts has then, too."""
    return host.user.run(["prlimit", f"--fsize={size}", host.programs + "/cli/banger", *words], env=host.env, capture_output=True, text=True)


@pytest.mark.parametrize("size", [0, 64 * KIB, 1024 * KIB, 4096 * KIB])
def test_no_file_may_grow_beyond(host, size):
    """SIGXFSZ ends nothing: each command succeeds or says why not, no process dies, and without the limit all is as it was."""
    before = host.facts().names()
    host.banger("daemon", "stop")
    first = limited(host, size, "vm", "list")
    assert first.returncode == 0 or first.stderr.strip(), first
    pid = host.ask("/v1/daemon")[0]["pid"] if first.returncode == 0 else None
    for words in (["image", "import", host.user.home + "/bundle", "--name", "i"], ["image", "pull", host.layout, "--name", "p", "--kernel-ref", "k"],
                  ["vm", "create", "b", "--image", "r", "--cpus", "1", "--memory", "128M", "--no-start"],
                  ["vm", "start", "a"], ["vm", "stop", "a"]):
        r = limited(host, size, *words)
        assert r.returncode == 0 or r.stderr.strip(), (words, r)
        assert "signal" not in r.stderr and r.returncode >= 0, (words, r)
    if pid:
        assert host.ask("/v1/daemon")[0]["pid"] == pid and "died" not in host.log()
    limited(host, size, "daemon", "stop", "--cancel")
    without(host, before)


def without(host, before):
    after = host.facts()
    assert before["images"] <= after.names()["images"] and before["vms"]["a"] == after.names()["vms"]["a"], after.names()
    assert after.unlisted() == [] and not after.store["missing"]
    host.banger("vm", "start", "a")
    host.banger("vm", "stop", "a")


def database(host):
    [path] = glob.glob(host.state + "/banger.[0-9]*.db")
    return path


def test_another_program_holds_the_database(host):
    """Before the start: banger goes on with a copy. While it runs: the other one is told."""
    before = host.facts().names()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(database(host), timeout=0).execute("SELECT count(*) FROM row")
    host.banger("daemon", "stop")
    other = sqlite3.connect(database(host), isolation_level=None, timeout=0)
    try:
        other.execute("BEGIN EXCLUSIVE")
        assert host.facts().names() == before
        host.banger("vm", "set", "a", "--cpus", "2")
        host.make_vm("b", "--no-start")
    finally:
        other.close()
    os.kill(host.ask("/v1/daemon")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: set(host.facts().names()["vms"]) == {"a", "b"})
    assert host.facts().names()["vms"]["a"] == (2, True) and listed(host.state + "/set-aside")
