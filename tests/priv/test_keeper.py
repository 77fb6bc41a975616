# SPDX-License-Identifier: ISC
"""banger-keeper: what it holds up while root flushes its rules and users stop their helpers, and what there is without it."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from guest import ACK, QUIET, SYN, Guest, segment
from privclient import IDENTITY, KEEPER, LIBEXEC, NO_CAPABILITY, Helper, Refused
from test_nat import HOST, WORLD, as_user, eventually, rules, sh, world  # noqa: F401

BINARY = LIBEXEC + "/banger-keeper"
AS_SERVICE = ["setpriv", "--reuid", "banger-keeper", "--regid", "banger-ledger", "--clear-groups", "--inh-caps", "-all,+net_admin",
              "--ambient-caps", "-all,+net_admin", "--bounding-set", "-all,+net_admin"]


@contextlib.contextmanager
def keeper(argv=AS_SERVICE):
    """As its unit starts it, in this network namespace."""
    p = subprocess.Popen([*argv, BINARY])
    try:
        yield p
    finally:
        p.kill()
        p.wait()
        if argv == AS_SERVICE:
            gone_with_it()


def gone_with_it():
    """Also what a kernel lets it leave behind."""
    for table in [t.split()[2] for t in sh("nft", "list", "tables").splitlines() if "banger-fence-" in t]:
        sh("nft", "delete", "table", "ip", table, check=False)


@pytest.fixture
def kept(conf):
    conf("keeper = yes\n")
    with keeper() as p:
        yield p


@pytest.fixture
def a(alice, kept):
    with Helper(alice) as h:
        h.info = h.hello()
        h.cleanup()
        yield h
        if h.proc.poll() is None:
            os.kill(h.pid, signal.SIGKILL)
    with Helper(alice) as h:
        h.hello()
        h.cleanup()


def fences():
    return sh("nft", "list", "tables").count("banger-fence-")


class Service:
    """One of root's, on all addresses, that counts what it hears."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("0.0.0.0", 9999))
        self.sock.setblocking(False)

    def heard(self):
        n = 0
        with contextlib.suppress(BlockingIOError):
            while self.sock.recv(100):
                n += 1
        return n

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()


def flood(guest, times, act):
    """The guest sends to the host without a pause while act() is done some times, and goes on a little after each."""
    sent, stop = threading.Semaphore(0), False

    def run():
        while not stop:
            for target in guest.net["gateway"], HOST:
                guest.send(target, 17, struct.pack(">HHHH", 7, 9999, 9, 0) + b"x")
                sent.release()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        for _ in range(times):
            act()
            while sent.acquire(blocking=False):
                pass
            assert all(sent.acquire(timeout=30) for _ in range(20))
    finally:
        stop = True
        thread.join()


def flush():
    """Others change rules at the same moment: nft may then be refused, and is asked again."""
    assert eventually(flushed)


def flushed():
    return subprocess.run(["nft", "flush", "ruleset"], capture_output=True).returncode == 0


def test_flush_in_a_loop(alice, a):
    """Nothing gets through, whether the helper works, is stopped or dead; NAT comes back by itself."""
    net = a.attach(0)
    a.nat(0, 1)
    with Service() as service, Guest(net) as guest:
        flood(guest, 20, flush)
        assert as_user_can(alice, lambda: os.kill(a.pid, signal.SIGSTOP))
        flood(guest, 20, flush)
        assert guest.in_time("ping", WORLD)
        os.kill(a.pid, signal.SIGKILL)
        a.wait()
        flood(guest, 20, flush)
        assert service.heard() == 0
        assert guest.in_time("ping", WORLD)
        assert guest.silence("connect", HOST, 7777) and service.heard() == 0


def as_user_can(user, f):
    pid = os.fork()
    if pid == 0:
        try:
            user.become()
            f()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def test_without_it(alice):
    """What docs/privilege.md says is left: the helper's own table holds against a flush, until its user kills it."""
    with Helper(alice) as h, Service() as service:
        h.info = h.hello()
        net = h.attach(0)
        with Guest(net) as guest:
            flood(guest, 5, flush)
            assert service.heard() == 0
            assert as_user_can(alice, lambda: os.kill(h.pid, signal.SIGSTOP))
            flood(guest, 5, flush)
            assert service.heard() == 0
            assert as_user_can(alice, lambda: os.kill(h.pid, signal.SIGCONT))
            assert eventually(lambda: rules(h))
            assert as_user_can(alice, lambda: os.kill(h.pid, signal.SIGKILL))
            h.wait()
            flood(guest, 1, lambda: None)
            assert service.heard() == 0
            flood(guest, 5, flush)
            assert service.heard() > 0  # so the tests above could have failed
            with Helper(alice) as again:
                again.hello()
                service.heard()
                flood(guest, 5, flush)
                assert service.heard() == 0
                again.cleanup()


def test_what_began_in_the_gap_ends(alice):
    """A handshake that got through while there were no rules is worth nothing afterwards."""
    with Helper(alice) as h, socket.create_server(("0.0.0.0", 7777)) as service:
        h.hello()
        net = h.attach(0)
        with Guest(net) as guest:
            h.kill()
            flush()
            guest.port += 1
            mine, answer = guest.port, []
            guest.send(HOST, 6, segment(guest.address, HOST, mine, 7777, SYN))
            assert guest.listen(lambda s, p, d: p == 6 and d[13] == SYN | ACK and not answer.append(d))
            seq = struct.unpack(">I", answer[0][4:8])[0]
            with Helper(alice) as again:
                again.hello()
                guest.send(HOST, 6, segment(guest.address, HOST, mine, 7777, ACK, 2, seq + 1))
                assert guest.silence("connect", HOST, 7777)
                service.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    service.accept()
                again.cleanup()


def test_no_tap_without_it(alice, conf):
    conf("keeper = yes\n")
    with Helper(alice) as h:
        index = h.hello()["index"]
        with pytest.raises(Refused) as e:
            h.attach(0)
        assert e.value.code == KEEPER and h.list() == 0
        assert not os.path.exists(f"/sys/class/net/bgr{index}-0") and rules_gone()
        with keeper():
            assert h.attach(0)["fresh"] == 1 and fences() == 1
            assert h.cleanup() == 1
            assert eventually(lambda: fences() == 0)


def rules_gone():
    return "banger-" not in sh("nft", "list", "tables")


def test_its_end_and_next_start(a, kept):
    """Killed: the helper's table stands, and what the kernel keeps for it; the next one has all again, also of peers."""
    one, two = a.attach(0), a.attach(1)
    for slot in 0, 1:
        a.nat(slot, 0, 1)
    kept.kill()
    kept.wait()
    with Service() as service, Guest(one) as guest, Guest(two) as other:
        flood(guest, 1, lambda: None)
        assert service.heard() == 0
        with keeper():
            assert eventually(lambda: fences() == 1)
            flood(guest, 10, flush)
            assert service.heard() == 0
            answers = threading.Thread(target=lambda: other.listen(lambda s, p, d: p == 17 and b"peer" in d), daemon=True)
            answers.start()
            assert eventually(lambda: peer_hears(guest, two, answers))


def peer_hears(guest, net, thread):
    guest.send(net["guest"], 17, struct.pack(">HHHH", 7, 7, 12, 0) + b"peer")
    thread.join(0.2)
    return not thread.is_alive()


def test_what_it_has(alice, kept):
    """One capability, no way to gain any, a user of its own: no member can stop it or look into it."""
    assert eventually(lambda: "Seccomp:\t2" in status(kept))
    text = status(kept)
    for line in ("CapInh:\t0000000000000000", "CapPrm:\t0000000000001000", "CapEff:\t0000000000001000", "CapAmb:\t0000000000000000",
                 "NoNewPrivs:\t1"):
        assert line in text
    assert not as_user_can(alice, lambda: os.kill(kept.pid, 0))
    assert not as_user_can(alice, lambda: os.readlink(f"/proc/{kept.pid}/fd/3"))


def status(process):
    with open(f"/proc/{process.pid}/status") as f:
        return f.read()


@pytest.mark.parametrize("argv,code", [([], IDENTITY), (AS_SERVICE[:6], NO_CAPABILITY)])
def test_it_refuses(argv, code):
    with keeper(argv) as p:
        assert p.wait(timeout=30) == 64 + code


def test_it_ends_when_its_files_change(conf, kept):
    """systemd starts it again: with the new ones."""
    assert eventually(lambda: "Seccomp:\t2" in status(kept))
    conf("keeper = yes\nslots_per_user = 3\n")
    assert kept.wait(timeout=30) == 0
