# SPDX-License-Identifier: ISC
"""Each system call of the start and verbs of the helper, and of the keeper's start, fails once: it is refused or ends, and the
next one finds it all put right. Some, instead, succeed as no honest kernel lets them."""
import contextlib
import errno
import os
import signal
import struct
import subprocess
import time

import pytest

from conftest import Traces, ip, links, rows
from privclient import (CLEANUP, CONFIG, DNS_PORT, FAILED, HELLO, LEDGER, LIST, NET_ATTACH, NET_DETACH, NET_NAT, NO_CAPABILITY,
                        NO_FORWARD, NO_NFT, SANDBOX, TAKEN, Ended, Helper, Refused, message, name_sockets)
from test_keeper import AS_SERVICE, BINARY, fences, gone_with_it
from test_kill import IDLE, check, wait_idle
from test_nat import eventually, world  # noqa: F401
from trace import Tracer

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="registers are written as x86-64 has them")
NOTHING = 219  # restart_syscall: nothing is to be restarted
UMASK, EXIT_GROUP, GETUID = 95, 231, 102
SIGACTION, CAPSET, SETRESGID, OPENAT, IOCTL, SENDTO, WRITE, PWRITE = 13, 126, 119, 257, 16, 44, 1, 18
TUNSETIFF = 0x400454CA
LIMIT, ALIKE = 2000, 3  # calls of an answer; how many of the same number and arguments are tried


def worth(seen, tracer, number):
    """Not the hundredth like the others."""
    key = number, None if number == SIGACTION else tracer.arguments()  # one for each signal
    seen[key] = seen.get(key, 0) + 1
    return seen[key] <= ALIKE and number != EXIT_GROUP


def run_on(tracer, nth, stop):
    """Lets the nth call that is worth it fail and the process go on alone: true. False at the entry of stop, when there was none."""
    seen, count = {}, 0
    for _ in range(LIMIT):
        number = tracer.run_to_entry()
        if number == stop:
            tracer.detach()
            return False
        if worth(seen, tracer, number):
            if count == nth:
                tracer.fail(errno.EIO, NOTHING)
                tracer.detach()
                return True
            count += 1
    raise AssertionError("the answer does not end")


def answer(helper):
    """Its code, or None when it ended without a word."""
    helper.sock.settimeout(30)
    try:
        return helper.receive()[2]
    except Ended:
        return None


def fail_everywhere(user, index, prepare, verb, body=b"", fds=lambda: ()):
    """How many calls failed in as many runs of the verb, and the codes of the answers."""
    codes = set()
    for nth in range(LIMIT):
        with Helper(user) as helper:
            if verb != HELLO:
                helper.info = helper.hello()
                prepare(helper)
            wait_idle(helper)
            tracer = Tracer(helper.pid)
            assert tracer.run_to_entry() == IDLE
            helper.raw(message(verb, body, nfds=len(fds())), fds())
            failed = run_on(tracer, nth, IDLE)
            codes.add(answer(helper))
        check(user, index, verb, nth)
        if not failed:
            return nth, codes
    raise AssertionError("no whole answer")


def nothing(_helper):
    pass


def two(helper):
    helper.attach(0)
    helper.nat(0, 1, 1)
    helper.attach(63)


@pytest.mark.parametrize("verb, body, prepare, least", [
    (HELLO, None, nothing, 5), (NET_ATTACH, b"\0", nothing, 20), (NET_ATTACH, b"\0", two, 3), (NET_NAT, b"\0\1\1", lambda h: h.attach(0), 10),
    (NET_DETACH, b"\0", two, 8), (LIST, b"", two, 3), (CLEANUP, b"", two, 10)])
def test_verb(alice, index, verb, body, prepare, least):
    tried, codes = fail_everywhere(alice, index, prepare, verb, struct.pack("<Q", Helper.table_hash()) if body is None else body)
    assert tried >= least and len(codes) > 1, (tried, codes)


def test_names(alice, index):
    with Helper(alice) as h:
        gateway = h.hello()["gateway"]
    sockets = name_sockets(alice, gateway)
    try:
        tried, codes = fail_everywhere(alice, index, nothing, DNS_PORT, b"", lambda: [s.fileno() for s in sockets])
        assert tried > 8 and len(codes) > 1
    finally:
        for s in sockets:
            s.close()


STOPPED = ["/bin/sh", "-c", 'kill -STOP $$; exec "$0"']  # root follows it before it becomes the helper, which then has its rights


def followed(pid, first):
    """A tracer of the shell above from the first call of that number on: those of the loader are before."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rsplit(") ", 1)[1][0] == "T":
                break
        time.sleep(0.001)
    tracer = Tracer(pid)
    os.kill(pid, signal.SIGCONT)
    while tracer.run_to_entry() != first:
        pass
    return tracer


def test_start(alice, index):
    """From its first own call to the first that waits. It starts, or says why not, and never serves less sealed than else."""
    codes = set()
    for nth in range(LIMIT):
        with Helper(alice, wrap=STOPPED) as helper:
            failed = run_on(followed(helper.pid, UMASK), nth, IDLE)
            try:
                helper.hello()
            except Refused as e:
                codes.add(e.code)
                continue
            except Ended:
                codes.add(-helper.wait())
                continue
            with open(f"/proc/{helper.pid}/status") as f:
                text = f.read()
            assert "CapPrm:\t0000000000001000" in text and "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text, nth
            assert f"Gid:\t{alice.gid}\t{alice.gid}\t{alice.gid}" in text, nth
        if not failed:
            break
    assert nth > 60 and len(codes) > 4, (nth, codes)
    with Helper(alice) as h:
        h.hello()
    assert Traces(index).empty()


def lie(tracer, number, nth, result, argument=None):
    """The nth call of that number (and second argument) from here on is not made and returns the result."""
    for _ in range(LIMIT):
        if tracer.run_to_entry() == number and argument in (None, tracer.arguments()[1]):
            nth -= 1
            if nth == 0:
                tracer.answer(result, NOTHING)
                tracer.detach()
                return
    raise AssertionError("there is no such call")


@pytest.mark.parametrize("number, nth", [(CAPSET, 2), (CAPSET, 3), (CAPSET, 40), (SETRESGID, 1), (OPENAT, 1)])
def test_a_right_that_comes_back(alice, index, number, nth):
    """It tries to get back what it gave up, and must fail: a kernel that lets it (or says so) gets no helper."""
    with Helper(alice, wrap=STOPPED) as helper:
        lie(followed(helper.pid, SETRESGID), number, nth, 0)
        with pytest.raises(Refused) as e:
            helper.hello()
        assert e.value.code == SANDBOX
    assert Traces(index).empty()


def other_tap(helper):
    helper.attach(0)
    ip("tuntap", "add", "dev", helper.name(1), "mode", "tap")


def nat_on(helper):
    helper.attach(0)
    helper.nat(0, 1, 1)


def no_forwarding(helper):
    helper.attach(0)
    with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
        f.write("0")


def lost_tap(helper):
    helper.attach(0)
    ip("link", "delete", helper.name(0))


@pytest.mark.parametrize("verb, body, prepare, call, result, code", [
    (NET_ATTACH, b"\1", other_tap, (IOCTL, 1, TUNSETIFF), 0, TAKEN),
    (NET_ATTACH, b"\0", lost_tap, (PWRITE, 1, None), -errno.ENOSPC, FAILED),
    (NET_ATTACH, b"\0", nothing, (PWRITE, 1, None), -errno.ENOSPC, LEDGER),
    (NET_NAT, b"\0\0\0", nat_on, (SENDTO, 2, None), -errno.ENOBUFS, FAILED),
    (NET_NAT, b"\0\1\0", no_forwarding, (WRITE, 1, None), -errno.EIO, NO_FORWARD),
    (NET_NAT, b"\0\1\0", no_forwarding, (WRITE, 1, None), 1, NO_FORWARD),
    (NET_NAT, b"\0\1\0", no_forwarding, (OPENAT, 1, None), -errno.EROFS, NO_FORWARD),
])
def test_what_it_says(world, alice, verb, body, prepare, call, result, code):  # noqa: F811
    """Of a call that fails, or that does nothing and says otherwise."""
    with Helper(alice) as helper:
        helper.info = helper.hello()
        helper.cleanup()
        index = helper.info["index"]
        helper.name = lambda slot: f"bgr{index}-{slot}"
        prepare(helper)
        wait_idle(helper)
        tracer = Tracer(helper.pid)
        assert tracer.run_to_entry() == IDLE
        helper.raw(message(verb, body))
        lie(tracer, call[0], call[1], result, call[2])
        assert answer(helper) == code
    if prepare == other_tap:
        assert links(index) == [helper.name(0), helper.name(1)] and list(rows(index)) == [0]
        ip("link", "delete", helper.name(1))
    check(alice, index, verb, call)


@contextlib.contextmanager
def stopped_keeper():
    p = subprocess.Popen([*AS_SERVICE, *STOPPED, BINARY])
    try:
        yield p
    finally:
        p.kill()
        p.wait()
        gone_with_it()


def test_keeper_start(world):  # noqa: F811
    """It serves as sealed as ever, or ends and says why: systemd starts it again."""
    codes = set()
    for nth in range(LIMIT):
        with stopped_keeper() as p:
            failed = run_on(followed(p.pid, GETUID), nth, IDLE)
            if not eventually(lambda: p.poll() is not None or sealed(p.pid), 30):
                raise AssertionError(f"neither ended nor sealed: {nth}")
            codes.add(p.poll())
        if not failed:
            break
    assert nth > 40 and {64 + c for c in (NO_CAPABILITY, CONFIG, LEDGER, SANDBOX, NO_NFT)} | {None} <= codes, (nth, codes)


def sealed(pid):
    with open(f"/proc/{pid}/status") as f:
        text = f.read()
    return "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text and "CapPrm:\t0000000000001000" in text


def test_keeper_tries_again(world, alice):  # noqa: F811
    """What the kernel refuses it for a moment."""
    with Helper(alice) as helper:
        helper.hello()
        helper.cleanup()
        helper.attach(0)
        helper.kill()
    with stopped_keeper() as p:
        lie(followed(p.pid, GETUID), SENDTO, 1, -errno.ENOBUFS)
        assert eventually(lambda: fences() == 1, 30)
        assert p.poll() is None
    with Helper(alice) as helper:
        helper.hello()
        helper.cleanup()
