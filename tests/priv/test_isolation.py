# SPDX-License-Identifier: ISC
"""Who reaches whom: 3 users with 3 guests each, every pair, gateway and host address, 12 kinds of packets each, looked for at
every tap and at what root listens on. Once in peace and once while root flushes its rules in a loop. What is permitted is a
table here, as docs/privilege.md has it."""
import contextlib
import os
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

from guest import ACK, ICMP, IPV4, SYN, TCP, UDP, Guest, checksum, packet, quad
from hostuser import HostUser
from privclient import Helper, name_sockets
from test_keeper import flushed, keeper
from test_nat import HOST, WORLD, bound_there, eventually, sh, world  # noqa: F401

GRE = 47
SETTLE = 0.6  # seconds in which nothing more arrives anywhere, of what was sent before something that did
# (NAT, peers) of each guest: alice's first two are peers, bob's have NAT, carol's one of all.
RIGHTS = {"alice": [(1, 1), (0, 1), (1, 0)], "bob": [(1, 0), (1, 0), (1, 0)], "carol": [(0, 0), (1, 1), (1, 0)]}
# What a guest's packets of each kind may reach beside its peers: its own gateway's name server and echo.
AT_GATEWAY = {"ping", "udp 53", "syn 53"}


@pytest.fixture(scope="module")
def carol():
    with HostUser("bgt-carol", ["banger"]) as user:
        yield user
        with Helper(user) as h:
            h.hello()
            h.cleanup()


def tcp(source, target, port, flags, data):
    head = struct.pack(">HHIIBBHHH", 1234, port, 1, 1, 5 << 4, flags, 8192, 0, 0)
    pseudo = quad(source) + quad(target) + struct.pack(">BBH", 0, TCP, len(head + data))
    return head[:16] + checksum(pseudo + head + data) + head[18:] + data


def udp(port, data):
    return struct.pack(">HHHH", 1234, port, 8 + len(data), 0) + data


def icmp(kind, data):
    body = struct.pack(">BBHHH", kind, 3 if kind == 3 else 0, 0, 7, 7) + data
    return body[:2] + checksum(body) + body[4:]


def probes(source, target, mark):
    """{kind: (source address or None, protocol, payload)}: mark is in each."""
    inner = packet(target, "192.0.2.7", UDP, udp(9999, mark))
    neighbour = target.rsplit(".", 1)[0] + ".66"
    return {
        "udp 9999": (None, UDP, udp(9999, mark)), "udp 53": (None, UDP, udp(53, mark)), "udp 67": (None, UDP, udp(67, mark)),
        "syn 22": (None, TCP, tcp(source, target, 22, SYN, mark)), "syn 53": (None, TCP, tcp(source, target, 53, SYN, mark)),
        "ack 7777": (None, TCP, tcp(source, target, 7777, ACK, mark)), "ping": (None, ICMP, icmp(8, mark)),
        "error": (None, ICMP, icmp(3, inner)), "gre": (None, GRE, b"\0\0\x08\0" + mark),
        "as target": (target, UDP, udp(9999, mark)), "as neighbour": (neighbour, UDP, udp(9999, mark)),
        "as host": (HOST, UDP, udp(9999, mark)),
    }


class Sinks:
    """All that arrives at root's sockets: every UDP datagram, echo request, error and GRE packet that the host takes in."""

    def __init__(self):
        self.socks = [socket.socket(socket.AF_INET, socket.SOCK_RAW, p) for p in (ICMP, UDP, TCP, GRE)]

    def read(self):
        while ready := select.select(self.socks, [], [], 0)[0]:
            for s in ready:
                yield s.recv(2048)

    def close(self):
        for s in self.socks:
            s.close()


def collect(guests, sinks, awaited=()):
    """[(where, bytes)] until all awaited (where, mark) came and it has been quiet everywhere for a while."""
    got, deadline, end = [], time.monotonic() + SETTLE, time.monotonic() + 120
    while (left := deadline - time.monotonic()) > 0 or not all(any(w == at and m in data for at, data in got) for w, m in awaited):
        assert time.monotonic() < end, f"it does not get quiet, or something is missing: {awaited} {got[-5:]}"
        left = max(left, 0.1)
        ready = select.select([g.fd for g in guests.values()] + sinks.socks, [], [], left)[0]
        if ready:
            deadline = time.monotonic() + SETTLE
        for name, guest in guests.items():
            if guest.fd in ready:
                frame = os.read(guest.fd, 4096)
                guest._arp(frame) if frame[12:14] != IPV4 else got.append((name, frame[14:]))
        got += [("host", data) for data in sinks.read()]
    return got


def send_all(guests, gateways):
    """Each guest each kind to everybody. {mark: (from, to, kind)}."""
    sent = {}
    for name, guest in guests.items():
        targets = {other: g.address for other, g in guests.items() if other != name}
        targets.update({f"gateway of {user}": address for user, address in gateways.items()}, host=HOST, everybody="255.255.255.255")
        for to, address in targets.items():
            for _n, kind in enumerate(probes(guest.address, address, b"")):
                mark = b"<%04d>" % len(sent)
                source, protocol, payload = probes(guest.address, address, mark)[kind]
                guest.send(address, protocol, payload, source)
                sent[mark] = name, to, kind
    return sent


def permitted(source, to, where, kind):
    if kind.startswith("as "):
        return False
    user, n = source.split()
    if to == f"gateway of {user}" and where == "host":
        return kind in AT_GATEWAY
    if where == source:  # what the host says about a packet of the guest's: refused, unreachable, an echo
        return True
    other, m = (to.split() + [""])[:2]
    return (where == to and other == user and m.isdigit() and RIGHTS[user][int(n)][1] and RIGHTS[user][int(m)][1])


PERMITTED = [*(("alice 1", ("alice 0", "alice 1", kind)) for kind in ("udp 9999", "syn 22", "ping", "gre")),
             *(("host", ("bob 2", "gateway of bob", kind)) for kind in sorted(AT_GATEWAY))]


@contextlib.contextmanager
def flushing(on):
    """Some of the flushes may be refused, because others change rules at the same moment."""
    stop, done = threading.Event(), threading.Semaphore(0)

    def run():
        while not stop.is_set():
            if flushed():
                done.release()

    thread = threading.Thread(target=run, daemon=True)
    if on:
        thread.start()
    try:
        yield
        for _ in range(3 if on else 0):
            assert done.acquire(timeout=60), "nothing was flushed"
    finally:
        stop.set()
        if on:
            thread.join()


@contextlib.contextmanager
def population(users):
    with contextlib.ExitStack() as stack:
        guests, gateways = {}, {}
        for name, user in users.items():
            h = stack.enter_context(Helper(user))
            gateways[name] = h.hello()["gateway"]
            h.cleanup()
            stack.callback(h.cleanup)
            for slot, (nat, peers) in enumerate(RIGHTS[name]):
                net = h.attach(slot)
                h.nat(slot, nat, peers)
                guests[f"{name} {slot}"] = stack.enter_context(Guest(net))
        yield guests, gateways


@pytest.mark.parametrize("root_flushes", [False, True])
def test_matrix(alice, bob, carol, conf, root_flushes):
    conf("keeper = yes\n")
    sinks = Sinks()
    with keeper(), population({"alice": alice, "bob": bob, "carol": carol}) as (guests, gateways):
        if not root_flushes:
            collect(guests, sinks)
        with flushing(root_flushes):
            sent = send_all(guests, gateways)
            # What is permitted does arrive, so what is not could have. While rules come and go it may be lost.
            awaited = [] if root_flushes else [(where, next(m for m, s in sent.items() if s == what)) for where, what in PERMITTED]
            got = collect(guests, sinks, awaited)
            assert all(g.in_time("ping", g.net["gateway"]) for g in guests.values())
        marks = {m: [where for where, data in got if m in data] for m in sent}
        bad = [(*sent[m], where) for m, at in marks.items() for where in at if not permitted(*sent[m][:2], where, sent[m][2])]
        assert bad == []
        assert len(sent) == 9 * (8 + 3 + 2) * 12
    sinks.close()


FROM_THE_LAN = ("import socket,sys,time;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);end=time.monotonic()+120\n"
                "while time.monotonic()<end:\n for a in sys.argv[1:]:\n  h,p=a.split(':');s.sendto(b'from-world',(h,int(p)))")


@contextlib.contextmanager
def lan_sends(world, *targets):  # noqa: F811
    """A host around, routed to this one, that never stops."""
    for target in targets:
        sh(*world, "ip", "route", "replace", target.split(":")[0] + "/32", "via", HOST)
    p = subprocess.Popen([*world, "python3", "-c", FROM_THE_LAN, *targets])
    try:
        yield
    finally:
        p.kill()
        p.wait()


def connections():
    """In the host's table."""
    with open("/proc/sys/net/netfilter/nf_conntrack_count") as f:
        return int(f.read())


def asks_first(guest, udp, port):
    """Whether the name server hears the guest; and nobody else before."""
    guest.ask_names(b"mine", port)
    udp.setblocking(False)
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(udp.recvfrom(100)[0])
    assert set(heard) <= {b"mine"}, heard
    return heard


def forged_errors(guest):
    """About a connection of root's to the world: refused, fragmentation needed, too long on its way."""
    inner = packet(HOST, WORLD, UDP, struct.pack(">HHHH", guest.victim, 9999, 9, 0) + b"x")
    for kind, code, extra in (3, 3, 0), (3, 4, 552), (11, 0, 0):
        for source in guest.address, WORLD:
            body = struct.pack(">BBHHH", kind, code, 0, 0, extra) + inner
            guest.send(HOST, ICMP, body[:2] + checksum(body) + body[4:], source)


@pytest.mark.parametrize("time_", ["first", "second"])
def test_attacks_while_root_flushes(world, alice, conf, time_):  # noqa: F811
    """What got through once (docs/security.md: L2, M3, M4, metadata), without a pause while the rules go and come."""
    conf("keeper = yes\nflows_per_guest = 20\n")
    with keeper(), Helper(alice) as h:
        gateway = h.hello()["gateway"]
        h.cleanup()
        udp, tcp = name_sockets(alice, gateway)
        net = h.attach(0)
        h.nat(0, 1)
        h.dns_port(udp, tcp)
        with udp, tcp, bound_there(world), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as roots, Guest(net) as guest:
            roots.connect((WORLD, 9999))
            roots.send(b"x")
            guest.victim = roots.getsockname()[1]
            with lan_sends(world, f"{gateway}:53", f"{gateway}:{udp.getsockname()[1]}", f"{guest.address}:9999"), flushing(True):
                mine, before = guest.port, connections()
                assert eventually(lambda: asks_first(guest, udp, mine))
                for port in range(1000, 1600):
                    if port % 20 == 0:
                        guest.ask_names(b"mine", mine)  # this connection is within the limit, and stays
                    forged_errors(guest)
                    guest.send("169.254.169.254", ICMP, icmp(8, b"metadata"))
                    guest.send(WORLD, UDP, struct.pack(">HHHH", port, 7, 9, 0) + b"x")
                guest.listen(lambda s, p, d: False, SETTLE)
            assert eventually(lambda: asks_first(guest, udp, mine))
            roots.settimeout(SETTLE)
            with pytest.raises(TimeoutError):
                roots.recv(10)
            assert "mtu" not in sh("ip", "route", "get", WORLD)
            assert not [p for p in guest.arrived if p[0] == "169.254.169.254" or b"from-world" in p[2]]
            assert connections() - before < 60  # of 600, though root's flushes take the helper's own limit away
        h.cleanup()
