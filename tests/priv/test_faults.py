# SPDX-License-Identifier: ISC
"""Each system call of the helper's start and verbs fails once: it is refused or ends, and the next helper finds it all put right."""
import errno
import os
import signal
import struct
import time

import pytest

from conftest import Traces
from privclient import CLEANUP, HELLO, NET_ATTACH, NET_DETACH, NET_NAT, LIST, DNS_PORT, Ended, Helper, Refused, message, name_sockets
from test_kill import IDLE, check, wait_idle
from trace import Tracer

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="registers are written as x86-64 has them")
NOTHING = 219  # restart_syscall: nothing is to be restarted
UMASK, EXIT_GROUP = 95, 231
SIGACTION = 13
LIMIT, ALIKE = 2000, 3  # calls of an answer; how many of the same number and first argument are tried


def worth(seen, tracer, number):
    """Not the hundredth like the others."""
    key = number, None if number == SIGACTION else tracer.first_argument()  # one for each signal
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


def wait_stopped(helper):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{helper.pid}/stat") as f:
            if f.read().rsplit(") ", 1)[1][0] == "T":
                return
        time.sleep(0.001)
    raise AssertionError("the shell does not stop")


def test_start(alice, index):
    """From its first own call to the first that waits. It starts, or says why not, and never serves less sealed than else."""
    codes = set()
    for nth in range(LIMIT):
        with Helper(alice, wrap=STOPPED) as helper:
            wait_stopped(helper)
            tracer = Tracer(helper.pid)
            os.kill(helper.pid, signal.SIGCONT)
            while tracer.run_to_entry() != UMASK:  # the loader's before
                pass
            failed = run_on(tracer, nth, IDLE)
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
