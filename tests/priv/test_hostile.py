# SPDX-License-Identifier: ISC
"""A hostile bangerd, a user outside the group, a helper without rights, a caller that tampers with the start."""
import contextlib
import ctypes
import grp
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import CONF, HELPER, LEDGER, Traces, forget
from privclient import (BUSY, CLEANUP, CONFIG, ENVIRONMENT, HELLO, HELPER_DIR, IDENTITY, LIST, NET_ATTACH, NO_CAPABILITY, NOT_MEMBER,
                        SANDBOX, Ended, Helper, Refused, message, name_sockets)
from hostuser import HostUser
from test_kill import IDLE
from trace import Tracer

PAUSE = {"x86_64": 230, "aarch64": 115}[os.uname().machine]  # clock_nanosleep
PROTOCOL = 1  # exit status of a helper whose peer broke the protocol


def hello_body():
    return struct.pack("<Q", Helper.table_hash())


GARBAGE = {
    "one byte": b"\0",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": bytes(16),
    "ones": b"\xff" * 24,
    "head cut short": message(LIST)[:15],
    "body missing": message(NET_ATTACH, b"")[:16],
    "body too long": message(NET_ATTACH, b"\0\0"),
    "length lies": message(NET_ATTACH, b"\0", length=2),
    "longer than any": message(LIST) + bytes(5000),
    "version": message(LIST, version=2),
    "id zero": message(LIST, rid=0),
    "code in a request": message(LIST, code=1),
    "reserved bits": message(LIST, zero=b"\0\0\0\0\1"),
    "claims a descriptor": message(LIST, nfds=1),
    "verb zero": message(0),
    "unknown verb": message(77),
    "slot 64": message(NET_ATTACH, b"\x40"),
    "slot 255": message(NET_ATTACH, b"\xff"),
    "second hello": None,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_it(alice, index, name):
    with Helper(alice) as h:
        h.hello()
        h.raw(GARBAGE[name] or message(HELLO, hello_body()))
        with pytest.raises(Ended):
            h.receive()
        assert h.wait() == PROTOCOL


@pytest.mark.parametrize("verb", [NET_ATTACH, LIST, CLEANUP])
def test_out_of_turn(alice, verb):
    with Helper(alice) as h:
        h.raw(message(verb, b"\0" if verb == NET_ATTACH else b""))
        with pytest.raises(Ended):
            h.receive()
        assert h.wait() == PROTOCOL


@pytest.mark.parametrize("count", [1, 2, 5, 64])
def test_descriptors_nobody_asked_for(alice, count):
    with Helper(alice) as h, open("/dev/null") as null:
        h.hello()
        h.raw(message(LIST), [null.fileno()] * count)
        with pytest.raises(Ended):
            h.receive()
        assert h.wait() == PROTOCOL


def test_claimed_and_sent_descriptor(alice):
    with Helper(alice) as h, open("/dev/null") as null:
        h.hello()
        h.raw(message(LIST, nfds=1), [null.fileno()])
        with pytest.raises(Ended):
            h.receive()


def code_of(helper):
    with pytest.raises(Refused) as e:
        helper.hello()
    helper.kill()
    return e.value.code


def test_not_in_the_group(mallory):
    with pytest.raises(PermissionError):
        Helper(mallory)


def test_not_in_the_group_though_it_runs(mallory, tmp_path):
    """A folder left open by a bad package: the helper itself still refuses."""
    mode = os.stat(HELPER_DIR).st_mode & 0o7777
    os.chmod(HELPER_DIR, 0o755)
    try:
        assert code_of(Helper(mallory)) == NOT_MEMBER
    finally:
        os.chmod(HELPER_DIR, mode)


@pytest.fixture
def bare_helper():
    """A copy without capability or setgid bit, where users can run it."""
    path = "/usr/local/bin/bgt-bare-helper"
    shutil.copy(HELPER, path)
    os.chmod(path, 0o755)
    yield path
    os.unlink(path)


def test_no_capability(alice, bare_helper):
    assert code_of(Helper(alice, helper=bare_helper)) == NO_CAPABILITY


def test_no_new_privs(alice):
    assert code_of(Helper(alice, wrap=["/usr/bin/setpriv", "--no-new-privs", "--"])) == NO_CAPABILITY


def test_user_namespace(alice):
    h = Helper(alice, wrap=["/usr/bin/unshare", "--user", "--map-root-user", "--net", "--"])
    if h.proc.poll() == 1:
        pytest.skip("this kernel gives users no user namespaces")
    assert code_of(h) == NO_CAPABILITY


def test_root():
    class Root(HostUser):
        def __init__(self):
            self.uid = self.gid = 0

        def become(self):
            pass

    assert code_of(Helper(Root())) == IDENTITY


def test_socket_of_another_user(alice, bob):
    class Borrower(HostUser):
        """The socketpair is Bob's, the process Alice's."""
        def __init__(self):
            self.users = [bob, alice]

        def become(self):
            self.users[0 if socketpair_maker(os.getpid()) else 1].become()

    maker = {"done": False}

    def socketpair_maker(_pid):
        return not maker["done"]

    borrower = Borrower()
    pair = Helper._pair(borrower)
    maker["done"] = True

    class Given(Helper):
        @staticmethod
        def _pair(_user):
            return pair

    assert code_of(Given(borrower)) == IDENTITY


def test_stream_socket(alice):
    class Stream(Helper):
        @staticmethod
        def _pair(_user):
            return socket.socketpair()

    with Stream(alice) as h:
        assert h.receive()[2] == ENVIRONMENT


def test_no_socket(alice):
    p = subprocess.run([HELPER], preexec_fn=alice.become, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert p.returncode == 64 + ENVIRONMENT
    assert p.stdout == b"" and p.stderr == b""


@pytest.mark.parametrize("limit", [(resource.RLIMIT_FSIZE, 4096), (resource.RLIMIT_NOFILE, 8),
                                   (resource.RLIMIT_CPU, 1)])
def test_low_limits(alice, limit):
    def prepare():
        resource.setrlimit(limit[0], (limit[1], limit[1]))

    assert code_of(Helper(alice, prepare=prepare)) == ENVIRONMENT


def test_soft_limits_are_lifted(alice, index):
    def prepare():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    with Helper(alice, prepare=prepare) as h:
        h.hello()
        h.attach(0)


def test_signals_and_timers_are_reset(alice, index):
    def prepare():
        for sig in range(1, 32):
            if sig not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        os.umask(0)
        os.chdir("/tmp")

    with Helper(alice, prepare=prepare) as h:
        h.hello()
        status = open(f"/proc/{h.pid}/status").read()
        assert "SigBlk:\t0000000000000000" in status
        # only SIGXFSZ, which a limit could raise in the middle of a ledger write
        assert f"SigIgn:\t{1 << (signal.SIGXFSZ - 1):016x}" in status
        assert os.readlink(f"/proc/{h.pid}/cwd") == "/"
        assert "Umask:\t0077" in status
        with pytest.raises(socket.timeout):
            h.sock.settimeout(1)
            h.receive()  # the timer would have ended it by now
        h.sock.settimeout(30)
        assert h.list() == 0 and h.proc.poll() is None


@pytest.mark.parametrize("missing", [(0,), (1, 2), (0, 1, 2)])
def test_standard_descriptors_that_are_closed(alice, index, missing):
    """What it opens does not become its standard output."""
    with Helper(alice, prepare=lambda: [os.close(fd) for fd in missing]) as h:
        h.hello()
        assert [os.readlink(f"/proc/{h.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
        assert h.attach(0)["fresh"] == 1


def test_what_it_keeps(alice):
    def prepare():
        for fd in range(10, 20):
            os.dup2(3, fd)

    with Helper(alice, prepare=prepare, env={"LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp"}) as h:
        h.hello()
        status = open(f"/proc/{h.pid}/status").read()
        for line in ("CapInh:\t0000000000000000", "CapPrm:\t0000000000001000", "CapEff:\t0000000000001000",
                     "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            assert line in status
        assert f"Gid:\t{alice.gid}\t{alice.gid}\t{alice.gid}\t{alice.gid}" in status
        fds = {os.readlink(f"/proc/{h.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{h.pid}/fd")}
        files = {f for f in fds if not f.startswith("socket:")}
        assert files == {"/dev/null", "/dev/net", LEDGER, "/proc/sys/net/ipv6/conf", "/proc/sys/net/ipv4",
                         "/proc/sys/net/ipv4/ip_forward"}
        assert len(fds) == 11  # and the five sockets: requests, rtnetlink, nf_tables, its announcements, iptables-legacy


def test_few_system_calls():
    """What the network helper may ask of the kernel once it is sealed; docs/privilege.md."""
    root = os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
    with open(os.path.join(root, "privhelper/role_net.c")) as f:
        calls = set(re.findall(r"SCMP_SYS\((\w+)\)", f.read()))
    assert {"recvmsg", "exit_group"} <= calls and len(calls) <= 20, calls


NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12


def test_forged_netlink(alice, index):
    """Whoever may write to its netlink sockets is not the kernel: an answer in advance, announcements that are none."""
    with Helper(alice) as h:
        h.hello()
        ports = netlink_ports(h.pid)
        assert sorted(protocol for protocol, _ in ports) == [NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_NETFILTER]
        for protocol, port in ports:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as s:
                for seq in range(1, 60):  # errors that answer what it is about to ask
                    s.sendto(struct.pack("<IHHIIi", 36, 2, 0, seq, port, -1) + bytes(16), (port, 0))
        assert h.attach(0)["fresh"] == 1 and h.list() == 1
        assert Traces(index).tables == [f"banger-{index}", f"banger-fence-{index}"]


def netlink_ports(pid):
    """[(protocol, port)] of its netlink sockets."""
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with open(f"/proc/{pid}/net/netlink") as f:
        table = [line.split() for line in f][1:]
    return [(int(row[1]), int(row[2])) for row in table if f"socket:[{row[9]}]" in inodes]


def test_user_cannot_look_inside(alice):
    """Not dumpable: its user can neither trace it nor take its descriptors."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Helper(alice) as h:
        h.hello()
        pid = os.fork()
        if pid == 0:
            alice.become()
            bad = 0
            bad |= libc.ptrace(0x4206, h.pid, 0, 0) == 0
            bad |= os.access(f"/proc/{h.pid}/fd/6", os.F_OK)
            pidfd = os.pidfd_open(h.pid)
            bad |= libc.syscall(438, pidfd, 6, 0) >= 0
            os._exit(bad)
        assert os.waitpid(pid, 0)[1] == 0


def test_nothing_is_handed_out(alice, index):
    """No answer of the network helper has a descriptor in it."""
    with Helper(alice) as h:
        gateway = h.hello()["gateway"]
        for act in (lambda: h.attach(0), lambda: h.nat(0, 1, 1), h.list, lambda: h.dns_port(*name_sockets(alice, gateway)),
                    lambda: h.detach(0), h.cleanup):
            act()
            assert h.fds == []


def pend(sig):
    signal.pthread_sigmask(signal.SIG_BLOCK, [sig])
    os.kill(os.getpid(), sig)


@pytest.mark.parametrize("sig", [signal.SIGALRM, signal.SIGPROF, signal.SIGTERM, signal.SIGRTMIN])
def test_pending_signals(alice, index, sig):
    """One that waits since before the helper was started does not end it in the middle of its start."""
    with Helper(alice, prepare=lambda: pend(sig)) as h:
        assert h.hello()["index"] == index


class Numbered(HostUser):
    """A member by group alone: of an id that no account has."""

    def __init__(self, uid, gid=None, groups=("banger",)):
        self.uid, self.gid = uid, gid or uid
        self.groups = [grp.getgrnam(g).gr_gid for g in groups]

    def become(self):
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def test_member_by_the_first_group(alice, index):
    """As `usermod -g banger` makes one: in no list of further groups."""
    with Helper(Numbered(alice.uid, grp.getgrnam("banger").gr_gid, ())) as h:
        assert h.hello()["index"] == index


@pytest.mark.parametrize("uid", [1, 999, 65534, 65535])
def test_ids_that_are_nobodys_own(uid):
    assert code_of(Helper(Numbered(uid))) == IDENTITY


def test_system_user_that_the_administrator_lets(conf):
    conf("min_uid = 900\n")
    h = Helper(Numbered(999))
    assert h.hello()["slots"] == 64
    h.close()
    forget(999)


def test_few_helpers_of_one_user(alice, bob, index):
    """Four have a seat, at work or waiting; a fifth is told at once, and other users are not concerned."""
    seated = [Helper(alice) for _ in range(4)]
    try:
        for h in seated:
            wait_for_seal(h)
        fifth = Helper(alice)
        with pytest.raises(Refused) as e:
            fifth.hello()
        assert e.value.code == BUSY
        fifth.kill()
        with Helper(bob) as b:
            b.hello()
    finally:
        for h in seated:
            h.kill()
    with Helper(alice) as h:
        assert h.hello()["index"] == index


def wait_for_seal(helper):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{helper.pid}/status") as f:
            if "Seccomp:\t2" in f.read():
                return
    raise AssertionError("it does not start")


def test_haste(alice, index):
    """Some hundreds of messages at once, then they are slowed down; after a pause it is as before."""
    with Helper(alice) as h:
        h.hello()
        began = time.monotonic()
        for _ in range(8):  # always some on their way, so that it is never idle
            h.raw(message(LIST))
        for _ in range(390):
            h.raw(message(LIST))
            h.receive()
        assert time.monotonic() - began > (390 - 257) * 0.02
        for _ in range(8):
            h.receive()
        tracer = Tracer(h.pid)
        for _ in range(2):  # the wait for a message, and the next one, once it is idle
            assert tracer.run_to_entry() == IDLE
        h.raw(message(LIST))
        calls = []
        while not calls or calls[-1] != IDLE:
            calls.append(tracer.run_to_entry())
        assert PAUSE not in calls and calls
        tracer.detach()
        h.receive()


def test_peer_that_does_not_read(alice, index):
    """Its replies fill the socket: the helper ends by itself, and the next one is not turned away for ever."""
    with Helper(alice) as h:
        h.hello()
        h.sock.setblocking(False)
        deadline = time.monotonic() + 60
        while h.proc.poll() is None and time.monotonic() < deadline:
            if select.select([], [h.sock], [], 0.2)[1]:
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    h.sock.send(message(LIST))
        assert h.proc.poll() == PROTOCOL
    with Helper(alice) as h:
        assert h.hello()["index"] == index


@pytest.mark.parametrize("limit", ["NOFILE", "FSIZE", "AS", "DATA", "STACK", "CPU"])
def test_limits_set_from_outside(alice, index, limit):
    """prlimit on a helper at work: as a kill at some point, and the next one finds it all put right."""
    with Helper(alice) as h:
        h.hello()
        which = getattr(resource, "RLIMIT_" + limit)
        pid = os.fork()
        if pid == 0:
            alice.become()
            resource.prlimit(h.pid, which, (0, 0))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        try:
            for slot in range(3):
                h.attach(slot)
                h.nat(slot, 1)
        except (Refused, Ended):
            pass
    with Helper(alice) as h:
        h.hello()
        now = Traces(index)
        assert len(now.links) == len(now.rows)
        h.cleanup()
        assert Traces(index).empty()


@pytest.fixture
def syslog():
    """A syslog daemon's socket, where the machine has none."""
    if os.path.exists("/dev/log"):
        pytest.skip("this machine has a syslog daemon: its log is not read here")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        s.settimeout(30)
        try:
            yield s
        finally:
            os.unlink("/dev/log")


def test_a_line_for_each_verb(alice, index, syslog):
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        with pytest.raises(Refused):
            h.nat(9, 1)
        lines = []
        while len(lines) < 3:  # others of this machine may log as well
            line = syslog.recv(500).decode(errors="replace")
            lines += [line] if f"banger-privhelper: uid {alice.uid} " in line else []
    assert lines[0].startswith(f"<86>banger-privhelper: uid {alice.uid} hello: 0, ")
    assert f"uid {alice.uid} net_attach slot 7: 0, done" in lines[1]
    assert f"uid {alice.uid} net_nat slot 9: 15, the slot has no network device" in lines[2]


@pytest.mark.parametrize("path", [LEDGER, HELPER, CONF])
def test_user_cannot_write(alice, path):
    p = alice.run(["/usr/bin/test", "-w", path])
    assert p.returncode != 0


def test_user_cannot_read_ledger(alice):
    assert alice.run(["/usr/bin/test", "-r", LEDGER]).returncode != 0


def test_member_of_the_ledger_group():
    """Somebody put a user into the group that must have no members: the drop cannot be proved."""
    with HostUser("bgt-clerk", ["banger", "banger-ledger"]) as clerk:
        assert code_of(Helper(clerk)) == SANDBOX


@pytest.mark.parametrize("text", ["nonsense\n", "pool = 10.0.0.0/8\n", "slots_per_user = 65\n", "x" * 5000, "pool = 10.9-0.0/16\n",
                                  "pool = 999.9.0.0/16\n", "pool = 127.0.0.0/16\n", "mount = maybe\n", "slots_per_user 5\n", "max_users = 07\n",
                                  "keeper = yes # why\n", "mount = no\nmount = no\n"])
def test_bad_configuration(alice, conf, text):
    conf(text)
    assert code_of(Helper(alice)) == CONFIG


def test_configuration_others_can_write(alice, conf):
    os.chmod(CONF, 0o666)
    assert code_of(Helper(alice)) == CONFIG


def test_configuration_behind_a_link(alice, alone):
    os.rename(CONF, CONF + ".kept")
    try:
        os.symlink(CONF + ".kept", CONF)
        assert code_of(Helper(alice)) == CONFIG
    finally:
        os.unlink(CONF)
        os.rename(CONF + ".kept", CONF)


def test_no_configuration(alice, index, alone):
    os.rename(CONF, CONF + ".kept")
    try:
        with Helper(alice) as h:
            assert h.hello()["slots"] == 64
    finally:
        os.rename(CONF + ".kept", CONF)


def test_random_messages(alice, index):
    """Anything: a refusal, an answer or the end, never a tap that a row does not know."""
    import random
    rng = random.Random(1)
    for _ in range(60):
        with Helper(alice) as h:
            h.hello()
            base = bytearray(message(rng.randrange(9), bytes(rng.randrange(64) for _ in range(rng.randrange(3)))))
            for _ in range(rng.randrange(3)):
                base[rng.randrange(len(base))] = rng.randrange(256)
            h.raw(bytes(base))
            try:
                h.receive()
            except (Ended, AssertionError):
                pass
    now = Traces(index)
    assert len(now.links) == len(now.rows)
