# SPDX-License-Identifier: ISC
"""kill -9 of the helper before each system call of each verb, counted: the next connection finds it all put right."""
import os
import struct
import time

import pytest

from conftest import Traces, forget, indexes, links
from hostuser import HostUser
from privclient import NET_ATTACH, NET_DETACH, NET_NAT, CLEANUP, HELLO, Helper, message
from trace import Tracer

IDLE = {"x86_64": 271, "aarch64": 73}[os.uname().machine]  # ppoll, in which an idle helper sleeps
LIMIT = 2000


def wait_idle(helper):
    """Until it sleeps in the call that waits for a request: it starts for some ms."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{helper.pid}/syscall") as f:
            if f.read().split()[0] == str(IDLE):
                return
        time.sleep(0.001)
    raise AssertionError("the helper does not wait for requests")


def drive(helper, data, stop_at):
    """Sends data; lets the helper make stop_at system calls of the answer, then kills it before the next.

    Returns the number of calls of a whole answer when it got so far, else None."""
    wait_idle(helper)
    tracer = Tracer(helper.pid)
    assert tracer.run_to_entry() == IDLE  # the interrupted sleep begins anew
    helper.raw(data)
    for n in range(LIMIT):
        if n == stop_at:
            tracer.run_to_entry()
            tracer.kill()
            return None
        if tracer.run_to_entry() == IDLE:
            tracer.kill()
            return n
    raise AssertionError("the answer does not end")


def kill_everywhere(user, index, prepare, verb, body=b""):
    """Kills at 0, 1, 2... calls into the verb until one run is a whole answer. Returns how many kills there were."""
    for stop_at in range(LIMIT):
        helper = Helper(user)
        try:
            helper.hello()
            prepare(helper)
            whole = drive(helper, message(verb, body), stop_at)
        finally:
            helper.kill()
        check(user, index, verb, stop_at)
        if whole is not None:
            return stop_at
    raise AssertionError("no whole answer")


def check(user, index, verb, stop_at):
    """The next connection: each slot is whole or gone, nothing is left of a half one, and all can be removed."""
    with Helper(user) as helper:
        helper.hello()
        now = Traces(index)
        where = f"verb {verb} killed at call {stop_at}: {now}"
        live = {slot for slot in range(64) if helper.list() >> slot & 1}
        assert set(now.rows) == live, where
        assert now.links == sorted(f"bgr{index}-{s}" for s in live), where
        assert len([a for a in now.addresses if "inet " in a]) == len(live), where
        assert len([r for r in now.routes if "proto 98" in r]) == len(live) + bool(live), where
        assert now.tables == (["banger-%d" % index, "banger-fence-%d" % index] if live else []), where
        helper.cleanup()
        assert Traces(index).empty(), where


def nothing(_helper):
    pass


def test_attach(alice, index):
    kills = kill_everywhere(alice, index, nothing, NET_ATTACH, b"\0")
    assert kills > 15


def test_detach(alice, index):
    kills = kill_everywhere(alice, index, lambda h: h.attach(0), NET_DETACH, b"\0")
    assert kills > 5


@pytest.mark.parametrize("on", [0, 1])
def test_nat(alice, index, on):
    def attached(helper):
        helper.attach(0)
        helper.nat(0, 1 - on, on)

    kills = kill_everywhere(alice, index, attached, NET_NAT, bytes([0, on, 1 - on]))
    assert kills > 10


def test_cleanup(alice, index):
    def two(helper):
        helper.attach(0)
        helper.attach(63)

    kills = kill_everywhere(alice, index, two, CLEANUP)
    assert kills > 64


def test_repair_itself(alice, index):
    """Killed in the repair of what a kill left: a tap that has an intent row, made by hand once per run."""
    def half_made(stop_at):
        helper = Helper(alice)
        helper.hello()
        drive(helper, message(NET_ATTACH, b"\0"), stop_at)
        helper.kill()

    whole = kill_everywhere(alice, index, nothing, NET_ATTACH, b"\0")
    late = whole - 3  # the tap stays, the row still says intent
    half_made(late)
    assert links(index)
    done = None
    stop_at = 0
    while done is None:
        if not links(index):
            half_made(late)
        helper = Helper(alice)
        try:
            done = drive(helper, message(HELLO, struct.pack("<Q", Helper.table_hash())), stop_at)
        finally:
            helper.kill()
        stop_at += 1
        assert stop_at < LIMIT
    check(alice, index, HELLO, stop_at)
    assert stop_at > 64


def test_new_user(alice, index):
    """Killed anywhere while the ledger gives a new user an index: never two, and one in the end."""
    hello = message(HELLO, struct.pack("<Q", Helper.table_hash()))
    with HostUser("bgt-new", ["banger"]) as user:
        done, stop_at, without = None, 0, 0
        while done is None:
            forget(user.uid)
            helper = Helper(user)
            try:
                done = drive(helper, hello, stop_at)
            finally:
                helper.kill()
            assert len(indexes(user.uid)) <= 1
            without += not indexes(user.uid)
            with Helper(user) as again:
                assert [again.hello()["index"]] == indexes(user.uid)
            stop_at += 1
        forget(user.uid)
        assert 256 < without < stop_at  # killed both before and after the claim


@pytest.mark.parametrize("slot", [0, 31, 63])
def test_alive_in_between(alice, index, slot):
    """Whole slots survive the kill of a helper that was at work on another."""
    with Helper(alice) as h:
        h.hello()
        h.attach(slot)
        h.close()
    other = (slot + 1) % 64
    for stop_at in (3, 9, 14):
        h = Helper(alice)
        h.hello()
        drive(h, message(NET_ATTACH, bytes([other])), stop_at)
        h.kill()
        with Helper(alice) as h:
            h.hello()
            assert h.list() >> slot & 1
