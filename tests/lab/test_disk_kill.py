# SPDX-License-Identifier: ISC
"""kill -9 of the disk helper before each system call of each verb, counted: the next connection leaves no loop, no
device-mapper device, no node and no row of what was half done."""
import os
import shutil
import time

import pytest

from disklab import Files, leftovers, place, until_clean
from labhost import SOURCE, figure, run
from privclient import CLEANUP, DISK_ATTACH, DISK_DETACH, DISK_HELPER, Helper, message
from trace import Tracer

MINUTES = 3
PPOLL = 271  # in which an idle helper sleeps
LIMIT = 1000

pytestmark = pytest.mark.timeout(900)  # hundreds of helpers, in software


@pytest.fixture(scope="module")
def user(member, helper_installed):
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)
    yield member
    shutil.rmtree(place(member))


@pytest.fixture(scope="module")
def files(user):
    return Files(user, base_mib=4, disk_mib=16)


def wait_idle(helper):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with open(f"/proc/{helper.pid}/syscall") as f:
            if f.read().split()[0] == str(PPOLL):
                return
        time.sleep(0.001)
    raise AssertionError("the helper does not wait for requests")


def drive(helper, data, fds, stop_at):
    """Lets the helper make stop_at system calls of the answer, then kills it before the next. The number of calls of
    a whole answer when it got so far, else None."""
    wait_idle(helper)
    tracer = Tracer(helper.pid)
    assert tracer.run_to_entry() == PPOLL
    helper.raw(data, fds)
    for n in range(LIMIT):
        if n == stop_at:
            tracer.run_to_entry()
            tracer.kill()
            return None
        if tracer.run_to_entry() == PPOLL:
            tracer.kill()
            return n
    raise AssertionError("the answer does not end")


def check(user, where):
    """Whole or gone, in all four places; and all can be removed."""
    with Helper(user, helper=DISK_HELPER) as h:
        h.hello()
        held = h.list()
        live = [s for s in range(64) if held >> s & 1]
        found = leftovers(user)
        assert found.get("rows", []) == live, (where, found)
        assert sorted(int(n.split("-")[1]) for n in found.get("nodes", [])) == live, (where, found)
        assert sorted(int(d.split("-")[2]) for d in found.get("devices", [])) == live, (where, found)
        h.cleanup()
    until_clean(user, where)
    return live


def kill_at(user, stop_at, prepare, data, fds):
    """(the calls of a whole answer or None, slots that are whole after a kill at that call)"""
    helper = Helper(user, helper=DISK_HELPER)
    try:
        helper.hello()
        prepare(helper)
        whole = drive(helper, data, fds, stop_at)
    finally:
        helper.kill()
    return whole, check(user, f"{data!r} killed at call {stop_at}")


def kill_everywhere(user, prepare, data, fds=(), first=0, until_gone=0):
    """Kills at first, first + 1, first + 2... calls into the answer until one run is a whole answer; or until so many
    kills in a row found every slot gone already."""
    whole_slots = gone = 0
    for stop_at in range(first, LIMIT):
        whole, live = kill_at(user, stop_at, prepare, data, fds)
        whole_slots += len(live)
        gone = 0 if live else gone + 1
        if whole is not None or gone == until_gone > 0:
            figure(f"disk helper, verb {data[1]}: {stop_at - first + 1} kills from call {first} on, {whole_slots} whole slots after them")
            return stop_at - first
    raise AssertionError("no whole answer")


def calls_before_effect(user, prepare, data, slots):
    """How many calls an answer begins with that take no slot away, by halving."""
    low, high = 0, 256
    while low < high:
        middle = (low + high) // 2
        if len(kill_at(user, middle, prepare, data, ())[1]) == slots:
            low = middle + 1
        else:
            high = middle
    return low


def test_attach(user, files):
    fds = files.open()
    kills = kill_everywhere(user, lambda h: None, message(DISK_ATTACH, b"\5", nfds=2), fds)
    for fd in fds:
        os.close(fd)
    assert kills > 40


def test_detach(user, files):
    kills = kill_everywhere(user, lambda h: files.attach(h, 5), message(DISK_DETACH, b"\5"))
    assert kills > 8


def test_cleanup(user, files):
    other = Files(user, base_mib=4, disk_mib=4)

    def two(helper):
        files.attach(helper, 0)
        other.attach(helper, 1)

    # The other 62 rows are empty, and only looked at: nothing is there to be killed before the first slot and after the second
    first = max(calls_before_effect(user, two, message(CLEANUP), 2) - 2, 0)
    assert kill_everywhere(user, two, message(CLEANUP), first=first, until_gone=4) > 12


def test_whole_slots_survive(user, files):
    """The kill of a helper at work on another slot disturbs none that is complete."""
    other = Files(user, base_mib=4, disk_mib=8)
    with Helper(user, helper=DISK_HELPER) as h:
        h.hello()
        files.attach(h, 1)
    fds = other.open()
    for stop_at in (5, 15, 25, 35):
        h = Helper(user, helper=DISK_HELPER)
        h.hello()
        drive(h, message(DISK_ATTACH, b"\2", nfds=2), fds, stop_at)
        h.kill()
        with Helper(user, helper=DISK_HELPER) as h:
            h.hello()
            assert h.list() & 2
    with Helper(user, helper=DISK_HELPER) as h:
        h.hello()
        h.cleanup()
    until_clean(user)
