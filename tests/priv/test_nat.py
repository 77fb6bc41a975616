# SPDX-License-Identifier: ISC
"""NET_NAT and the rules of every tap, in a network namespace of the test's own with a second one as the world."""
import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from guest import PATIENCE, QUIET, Guest, checksum, packet
from privclient import FIREWALL, NOT_ATTACHED, IP_FREEBIND, SOCKETS, ROUTE, Helper, Refused, name_sockets

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LEGACY_UNIT = "/etc/systemd/system/banger-legacy-forward.service"
CLONE_NEWNET = 0x40000000
HOST, WORLD, DISTANT = "198.51.100.1", "198.51.100.2", "203.0.113.9"
libc = ctypes.CDLL(None, use_errno=True)


def sh(*argv, check=True, **kw):
    return subprocess.run(argv, check=check, capture_output=True, text=True, **kw).stdout


def setns(fd):
    assert libc.setns(fd, CLONE_NEWNET) == 0


@pytest.fixture(scope="module", autouse=True)
def world():
    """This process, and the helpers that it starts, in an empty network namespace; a second one is the world."""
    old = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert libc.unshare(CLONE_NEWNET) == 0
    sh("ip", "link", "set", "lo", "up")
    holder = subprocess.Popen(["unshare", "-n", "sleep", "3600"])
    deadline = time.monotonic() + 10
    while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert time.monotonic() < deadline
    there = ["nsenter", "-t", str(holder.pid), "-n", "ip"]
    sh("ip", "link", "add", "up0", "type", "veth", "peer", "name", "world0", "netns", str(holder.pid))
    sh("ip", "address", "add", HOST + "/24", "dev", "up0")
    sh("ip", "link", "set", "up0", "up")
    for args in (["link", "set", "lo", "up"], ["address", "add", WORLD + "/24", "dev", "world0"],
                 ["address", "add", DISTANT + "/32", "dev", "lo"], ["address", "add", "169.254.169.254/32", "dev", "lo"],
                 ["link", "set", "world0", "up"]):
        sh(*there, *args)
    sh("ip", "route", "add", "default", "via", WORLD)
    sh("ip", "route", "add", "169.254.169.254/32", "via", WORLD)
    yield there[:-1]
    holder.kill()
    holder.wait()
    setns(old)
    os.close(old)


@pytest.fixture
def a(alice):
    yield from session(alice)


@pytest.fixture
def b(bob):
    yield from session(bob)


def session(user):
    with Helper(user) as h:
        h.info = h.hello()
        h.cleanup()
        yield h
    with Helper(user) as again:
        again.hello()
        again.cleanup()
        assert f"banger-{h.info['index']}" not in sh("nft", "list", "ruleset")


def ruleset():
    """Every table's text; tables that were made anew come in another order."""
    return sorted(t.strip() for t in ("\n" + sh("nft", "-s", "list", "ruleset")).split("\ntable "))


def rules(h):
    return sh("nft", "list", "table", "ip", f"banger-{h.info['index']}", check=False)


def forwarding(tap):
    with open(f"/proc/sys/net/ipv4/conf/{tap}/forwarding") as f:
        return f.read().strip()


def test_only_with_nat(a):
    """A guest reaches the world with NAT, not before and not after; as soon as the verb is answered."""
    net = a.attach(0)
    with Guest(net) as guest:
        assert guest.ping(net["gateway"])
        assert guest.silence("ping", WORLD) and guest.silence("ping", DISTANT)
        assert a.nat(0, 1) == 1
        assert guest.ping(WORLD) and guest.ping(DISTANT)
        assert a.nat(0, 1) == 0
        assert guest.ping(WORLD)
        assert a.nat(0, 0) == 1
        assert guest.silence("ping", WORLD)
        assert a.nat(0, 0) == 0


def test_slot_by_slot(a):
    one, two = a.attach(0), a.attach(1)
    a.nat(1, 1)
    with Guest(one) as first, Guest(two) as second:
        assert second.ping(WORLD) and first.silence("ping", WORLD)
        a.detach(1)
        assert a.attach(1)["fresh"] == 1
    with Guest(two) as second:
        assert second.silence("ping", WORLD)  # NAT went with the slot


def test_forwarding_is_turned_on_and_explained(a):
    with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
        f.write("0")
    one, two = a.attach(0), a.attach(1)
    a.nat(0, 1)
    assert forwarding(one["tap"]) == "1"
    with open("/proc/sys/net/ipv4/ip_forward") as f:
        assert f.read().strip() == "1"
    with Guest(one) as guest, Guest(two) as other:
        assert guest.ping(WORLD)
        assert other.silence("ping", WORLD)  # though the kernel turned its forwarding on as well
    a.nat(0, 0)
    assert forwarding(one["tap"]) == "0"


def test_needs_a_tap(a):
    with pytest.raises(Refused) as e:
        a.nat(5, 1)
    assert e.value.code == NOT_ATTACHED


def test_survives_the_helper(alice, a):
    net = a.attach(0)
    a.nat(0, 1)
    before = rules(a)
    a.kill()
    with Helper(alice) as again, Guest(net) as guest:
        again.info = again.hello()
        assert rules(again) == before and "nat" in before
        assert guest.ping(WORLD)
        again.cleanup()
        assert rules(again) == ""


def test_spoofed_source(a, b):
    one, two, theirs = a.attach(0), a.attach(1), b.attach(0)
    for slot in (0, 1):
        a.nat(slot, 1)
    with open("/proc/sys/net/ipv4/conf/all/rp_filter", "w") as f:
        f.write("2")  # loose: the strict check of the taps is outweighed, the rules are not
    with Guest(one) as guest, Guest(two) as other:
        assert guest.ping(WORLD)
        for source in (two["guest"], theirs["guest"], "10.1.2.3", HOST, WORLD, "127.0.0.1"):
            guest.send(WORLD, 17, struct.pack(">HHHH", 9, 9, 12, 0) + b"spuf", source)
            assert guest.silence("ping", one["gateway"], source)
        assert other.ping(two["gateway"]) and not [p for p in other.arrived if p[0] != two["gateway"]]
        assert "packets 0" not in [line for line in rules(a).splitlines() if "@guests" in line][0]


def listen_as(user, port):
    """The user's socket: others' answers do not get to the guest either way."""
    os.seteuid(user.uid)
    try:
        return socket.create_server(("0.0.0.0", port))
    finally:
        os.seteuid(0)


def test_host_services(alice, a):
    """Of the host's, on any address of its: ping and DNS at the gateway, and no port that somebody listens on."""
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f:
        f.write("53")
    net = a.attach(0)
    a.nat(0, 1)
    with listen_as(alice, 7777), listen_as(alice, 53), Guest(net) as guest:
        assert guest.ping(net["gateway"]) and guest.connect(net["gateway"], 53)
        for address in (net["gateway"], HOST, "127.0.0.1", "10.209.255.1"):
            assert guest.silence("connect", address, 7777)
        assert guest.silence("connect", HOST, 53) and guest.silence("ping", HOST)
        assert guest.connect(WORLD, 7777)  # the world says that nobody listens there


def test_published_ports_of_the_host(a):
    """A port that Docker publishes is the host's service, though it is forwarded."""
    net = a.attach(0)
    a.nat(0, 1)
    sh("nft", "add table ip dock; add chain ip dock pre { type nat hook prerouting priority -100; };"
       f"add rule ip dock pre ip daddr {HOST} tcp dport 8080 dnat to {WORLD}:80")
    try:
        with Guest(net) as guest:
            assert guest.silence("connect", HOST, 8080)
    finally:
        sh("nft", "delete table ip dock")


def ask_at(gateway):
    """A process of this host's asks there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        s.sendto(b"here", (gateway, 53))
        try:
            return s.recvfrom(100)
        except (TimeoutError, ConnectionRefusedError):
            return None


def test_name_server(alice, a, b):
    """Port 53 of the gateway is bangerd's sockets: for its guests and this host, as long as the helper lives; root keeps port 53."""
    gateway = a.info["gateway"]
    udp, tcp = name_sockets(alice, gateway)
    with udp, tcp, socket.create_server(("0.0.0.0", 53)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as root:
        root.bind(("0.0.0.0", 53))
        a.dns_port(udp, tcp)
        net, other = a.attach(0), b.attach(0)
        with Guest(net) as guest, Guest(other) as stranger:
            stranger.send(gateway, 17, struct.pack(">HHHH", 9, 53, 12, 0) + b"othr")
            guest.send(gateway, 17, struct.pack(">HHHH", 9, 53, 12, 0) + b"mine")
            data, client = udp.recvfrom(100)  # the stranger's would have come before
            assert (data, client) == (b"mine", (net["guest"], 9))
            as_user(alice, lambda: udp.sendto(b"yours", client))
            assert guest.listen(lambda s, p, d: (s, p, d[:2], d[8:]) == (gateway, 17, b"\0\x35", b"yours"))
            assert guest.in_time("connect", gateway, 53)
            assert guest.silence("connect", gateway, udp.getsockname()[1])
            thread = threading.Thread(target=lambda: udp.sendto(b"there", udp.recvfrom(100)[1]), daemon=True)
            thread.start()
            assert ask_at(gateway) == (b"there", (gateway, 53))
            thread.join()
            a.kill()
            assert guest.silence("connect", gateway, 53)
            assert "names" not in sh("nft", "list", "tables")


def test_names_from_around(world, alice, a):
    """The network around this host asks neither port of the gateway's address."""
    gateway = a.info["gateway"]
    udp, tcp = name_sockets(alice, gateway)
    with udp, tcp, Guest(a.attach(0)) as guest:
        a.dns_port(udp, tcp)
        sh(*world, "ip", "route", "replace", gateway + "/32", "via", HOST)
        for port in 53, udp.getsockname()[1]:
            sh(*world, "python3", "-c", "import socket,sys;socket.socket(socket.AF_INET,socket.SOCK_DGRAM)"
               ".sendto(b'from-world',(sys.argv[1],int(sys.argv[2])))", gateway, str(port))
        assert guest.silence("ping", WORLD)
        guest.ask_names(b"mine")
        assert udp.recvfrom(100)[0] == b"mine"


def test_sockets_that_are_refused(alice, a):
    """Of another address or port, of another kind, in the wrong order, one that does not listen, no socket at all."""
    gateway = a.info["gateway"]
    udp, tcp = name_sockets(alice, gateway)
    low = name_sockets(alice, gateway, 5353, 8053)
    elsewhere = name_sockets(alice, "127.0.0.1")
    wild = name_sockets(alice, "0.0.0.0")
    deaf = socket.socket()
    deaf.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    deaf.bind((gateway, 50999))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with open("/dev/null") as null:
        for pair in ((tcp, udp), (udp, udp), (low[0], tcp), (udp, low[1]), (elsewhere[0], tcp), (udp, elsewhere[1]),
                     (wild[0], tcp), (udp, wild[1]), (udp, deaf), (unix, tcp), (six, tcp), (null.fileno(), tcp)):
            with pytest.raises(Refused) as e:
                a.dns_port(*pair)
            assert e.value.code == SOCKETS
        a.dns_port(udp, tcp)
    for s in (udp, tcp, *low, *elsewhere, *wild, deaf, unix, six):
        s.close()


def test_sockets_of_another_network(alice, a):
    """Anybody makes a network namespace with the gateway's address in it: on this host that port may be root's."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert libc.unshare(CLONE_NEWNET) == 0
    try:
        udp, tcp = name_sockets(alice, a.info["gateway"])
    finally:
        setns(here)
        os.close(here)
    with udp, tcp, pytest.raises(Refused) as e:
        a.dns_port(udp, tcp)
    assert e.value.code == SOCKETS
    with udp, tcp:
        pass


def test_metadata(a):
    net = a.attach(0)
    a.nat(0, 1)
    with Guest(net) as guest:
        assert guest.ping(WORLD) and guest.silence("ping", "169.254.169.254")


def test_guests_of_one_user(a):
    """They reach each other when both are let, with or without NAT; else they are told at once."""
    one, two, three = a.attach(0), a.attach(1), a.attach(2)
    for slot in (0, 1):
        a.nat(slot, 1)
    with Guest(one) as first, Guest(two) as second, Guest(three) as third:
        with answering(second):
            assert first.silence("ping", two["guest"]) and first.refused(two["guest"], 22)
        a.nat(0, 1, 1)
        with answering(second):
            assert first.silence("ping", two["guest"])
        with answering(first):
            assert second.silence("ping", one["guest"])
        a.nat(1, 0, 1)
        with answering(second):
            assert first.ping(two["guest"]) and third.silence("ping", two["guest"])
        assert second.silence("ping", WORLD)
        a.nat(0, 1, 0)
        with answering(second):
            assert first.silence("ping", two["guest"])


def test_refused_at_once(a):
    """Without NAT a guest is told that it may not, by a reset or an ICMP error, not left to wait; as for a guest that is not there."""
    net = a.attach(0)
    with Guest(net) as guest:
        assert guest.refused(WORLD, 80) and guest.refused(WORLD, 80, udp=True) and guest.refused(DISTANT, 443)
        a.nat(0, 1, 1)
        assert guest.refused(net["gateway"][:-1] + "60", 80, udp=True)


def test_no_way_out_for_a_guest_that_is_gone(a):
    """What is sent to a stopped VM ends here, not at the default route."""
    net = a.attach(0)
    a.attach(1)
    a.detach(0)
    assert "unreachable" in sh("ip", "route", "get", net["guest"], check=False) or not sh("ip", "route", "get", net["guest"], check=False)
    a.detach(1)
    assert "via " + WORLD in sh("ip", "route", "get", net["guest"])


@contextlib.contextmanager
def bound_there(world):
    """Port 9999 of the world is somebody's, who says nothing."""
    p = subprocess.Popen([*world, "python3", "-c", "import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
                          "s.bind(('0.0.0.0',9999));print(1,flush=True);sys.stdin.read()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline()
        yield
    finally:
        p.stdin.close()
        p.wait(timeout=10)


def test_forged_errors(world, alice, a):
    """A guest's ICMP errors reach neither root's connections nor its own user's to elsewhere; those about its own do."""
    net = a.attach(0)
    a.nat(0, 1)
    with bound_there(world), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as roots, Guest(net) as guest:
        roots.connect((WORLD, 9999))
        roots.send(b"x")
        inner = packet(HOST, WORLD, 17, struct.pack(">HHHH", roots.getsockname()[1], 9999, 9, 0) + b"x")
        for kind, code, extra in (3, 3, 0), (3, 4, 552), (11, 0, 0):
            for source in net["guest"], WORLD:
                body = struct.pack(">BBHHH", kind, code, 0, 0, extra) + inner
                guest.send(HOST, 1, body[:2] + checksum(body) + body[4:], source)
        roots.settimeout(0.5)
        with pytest.raises(TimeoutError):
            roots.recv(10)
        assert "mtu" not in sh("ip", "route", "get", WORLD)
        os.seteuid(alice.uid)
        mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        os.seteuid(0)
        with mine:
            mine.connect((net["guest"], 9999))
            mine.send(b"y")
            inner = packet(net["gateway"], net["guest"], 17, struct.pack(">HHHH", mine.getsockname()[1], 9999, 9, 0) + b"y")
            body = struct.pack(">BBHHH", 3, 3, 0, 0, 0) + inner
            guest.send(net["gateway"], 1, body[:2] + checksum(body) + body[4:])
            mine.settimeout(PATIENCE)
            with pytest.raises(ConnectionRefusedError):
                mine.recv(10)


def test_connections_of_one_guest(alice, conf):
    """One guest does not fill the host's table: the administrator's limit, and each guest has its own."""
    conf("flows_per_guest = 20\n")
    with Helper(alice) as h:
        h.hello()
        one, two = h.attach(0), h.attach(1)
        for slot in (0, 1):
            h.nat(slot, 1)
        with Guest(one) as guest, Guest(two) as other:
            for port in range(1000, 1200):
                guest.send(WORLD, 17, struct.pack(">HHHH", port, 7, 9, 0) + b"x")
            with open("/proc/sys/net/netfilter/nf_conntrack_count") as f:
                assert int(f.read()) < 60
            assert not guest.connect(DISTANT, 4242, QUIET) and other.in_time("connect", DISTANT, 4242)
        h.cleanup()


def test_pool_of_somebody_else(a):
    """A route or an address of the host's in this user's range: no tap, and the host keeps both."""
    for args in (["route", "add", a.info["gateway"][:-1] + "128/25", "via", WORLD], ["route", "add", "10.0.0.0/8", "via", WORLD],
                 ["address", "add", a.info["gateway"][:-1] + "77/32", "dev", "up0"]):
        sh("ip", *args)
        try:
            with pytest.raises(Refused) as e:
                a.attach(0)
            assert e.value.code == ROUTE and a.list() == 0
        finally:
            sh("ip", args[0], "delete", *args[2:])
    for half in "0.0.0.0/1", "128.0.0.0/1":  # a VPN's default route
        sh("ip", "route", "add", half, "via", WORLD)
    try:
        assert a.attach(0)["fresh"] == 1
    finally:
        for half in "0.0.0.0/1", "128.0.0.0/1":
            sh("ip", "route", "delete", half)


@contextlib.contextmanager
def answering(guest):
    """The guest answers pings beside the test, which leaves its tap alone meanwhile."""
    on = True

    def answer(source, protocol, data):
        if protocol == 1 and data[0] == 8:
            body = b"\0\0\0\0" + data[4:]
            guest.send(source, 1, body[:2] + checksum(body) + body[4:])
        return not on

    def serve():
        while on:
            guest.listen(answer, 0.1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        on = False
        thread.join()


def test_guests_of_two_users(a, b):
    mine, theirs = a.attach(0), b.attach(0)
    a.nat(0, 1)
    b.nat(0, 1)
    with Guest(mine) as guest, Guest(theirs) as other:
        assert guest.ping(WORLD)
        with answering(other):
            assert guest.silence("ping", theirs["guest"]) and guest.silence("ping", theirs["gateway"])
        assert not [p for p in other.arrived if p[0] in (mine["guest"], mine["gateway"], HOST)]


def say(word, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(word, (address, 9999))
        except PermissionError:
            pass


def as_user(user, f):
    pid = os.fork()
    if pid == 0:
        user.become()
        f()
        os._exit(0)
    os.waitpid(pid, 0)


def test_other_local_users(alice, bob, mallory, a):
    """Only the guest's own user reaches it from this host: neither other users, members or not, nor root's daemons."""
    net = a.attach(0)
    with Guest(net) as guest:
        assert guest.hears(b"from-alice", lambda: as_user(alice, lambda: say(b"from-alice", net["guest"])))
        for user in (bob, mallory):
            assert guest.silence("hears", b"from-other", lambda: as_user(user, lambda: say(b"from-other", net["guest"])))
        assert guest.silence("hears", b"from-root", lambda: say(b"from-root", net["guest"]))


def test_from_the_world(world, a):
    """The outside routes to the guest and is not let in."""
    net = a.attach(0)
    a.nat(0, 1)
    sh(*world, "ip", "route", "replace", net["guest"] + "/32", "via", HOST)
    say_there = [*world, "python3", "-c", "import socket,sys;socket.socket(socket.AF_INET,socket.SOCK_DGRAM)"
                 ".sendto(b'from-world',(sys.argv[1],9999))", net["guest"]]
    with Guest(net) as guest:
        assert guest.silence("hears", b"from-world", lambda: sh(*say_there))


FORWARD_DROP = {
    "iptables-nft": (["iptables-nft", "-P", "FORWARD", "DROP"], ["nft", "delete", "table", "ip", "filter"]),
    "docker": (["sh", "-c", "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER;"
                "iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -A FORWARD -o docker0 -j ACCEPT"],
               ["nft", "delete", "table", "ip", "filter"]),
    "inet": (["nft", "add table inet admin; add chain inet admin fw { type filter hook forward priority 10; policy drop; };"
              "add rule inet admin fw meta l4proto sctp accept"], ["nft", "delete", "table", "inet", "admin"]),
}


@pytest.mark.parametrize("how", FORWARD_DROP)
def test_forward_policy_drop(a, how):
    """Both when it drops before NAT goes on, and from then on; others' rules are as before when NAT is off."""
    on, off = FORWARD_DROP[how]
    net = a.attach(0)
    try:
        with Guest(net) as guest:
            sh(*on)
            before = ruleset()
            a.nat(0, 1)
            assert guest.ping(WORLD)
            assert f"banger-{a.info['index']}" in sh("nft", "-s", "list", "ruleset")
            if how != "inet":
                assert f"bgr{a.info['index']}-+" in sh("iptables-nft", "-S", "FORWARD")
            a.nat(0, 0)
            assert guest.silence("ping", WORLD)
            assert ruleset() == before
            sh(*off)
            a.nat(0, 1)
            sh(*on)  # Docker starts
            assert guest.in_time("ping", WORLD)
            a.detach(0)
            assert "bgr" not in sh("nft", "list", "ruleset")
    finally:
        sh(*off)


def test_two_that_drop(a):
    """One that is let through already, and one that comes later."""
    net = a.attach(0)
    a.attach(1)
    try:
        sh("nft", drops("one"))
        a.nat(0, 1)
        sh("nft", drops("two"))
        with Guest(net) as guest:
            assert guest.in_time("ping", WORLD)
        a.nat(1, 1)
        assert sh("nft", "list", "ruleset").count(f'comment "banger-{a.info["index"]}"') == 4
    finally:
        for table in "one", "two":
            sh("nft", "delete", "table", "inet", table, check=False)


def drops(table, chain="fw"):
    return f"add table inet {table}; add chain inet {table} {chain} {{ type filter hook forward priority 10; policy drop; }};"


def test_more_than_it_looks_through(a):
    """Chains on the way of what is forwarded, and copies of its own rules: NAT is refused, the rest works."""
    mark = f'comment "banger-{a.info["index"]}"'
    for script in ("".join(drops("many", f"fw{n}") for n in range(65)),
                   drops("many") + "".join(f"add rule inet many fw accept {mark};" for _ in range(17))):
        a.attach(0)
        sh("nft", script)
        try:
            with pytest.raises(Refused) as e:
                a.nat(0, 1)
            assert e.value.code == FIREWALL
        finally:
            sh("nft", "delete", "table", "inet", "many")
        assert a.nat(0, 1) == 1
        a.detach(0)


def eventually(check, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
    return True


def test_flush_ruleset(a):
    """Back within 2 seconds, with all that it protects."""
    one, two = a.attach(0), a.attach(1)
    a.nat(0, 1)
    before = ruleset()
    with Guest(one) as guest, Guest(two) as other:
        for _ in range(3):
            sh("nft", "flush", "ruleset")
            assert eventually(lambda: ruleset() == before)
        assert guest.ping(WORLD) and other.silence("ping", WORLD)
        sh("nft", "flush", "chain", "ip", f"banger-{a.info['index']}", "from-guest")
        assert eventually(lambda: ruleset() == before)


def test_two_helpers_do_not_chase_each_other(a, b):
    """What one puts back is a change to the other, and must not make it begin anew."""
    for h in (a, b):
        h.attach(0)
        h.nat(0, 1)
    sh("nft", "flush", "ruleset")
    assert eventually(lambda: rules(a) and rules(b))
    before = handles()
    assert not eventually(lambda: handles() != before, 1.5)


def handles():
    """Of all tables. Not by -j: nft 1.0.6 does not survive a table with an owner there."""
    return sorted(line.split("#")[-1] for line in sh("nft", "-a", "list", "tables").splitlines())


def test_user_limits(a, b):
    """One user's verbs change nothing in the other's rules."""
    a.attach(0)
    a.nat(0, 1)
    before = rules(a)
    b.attach(0)
    b.nat(0, 1)
    b.nat(0, 0)
    b.cleanup()
    assert rules(a) == before


def test_blocked_later(alice, a):
    """A firewall that comes after NAT and lets nobody in keeps NAT from working, and nothing else."""
    a.attach(0)
    a.nat(0, 1)
    with locked_table():
        assert a.attach(1)["fresh"] == 1
        a.kill()
        with Helper(alice) as again:
            again.hello()
            assert again.list() == 3
            assert again.detach(0) == 1


def test_owned_table(a):
    """A firewall that drops and lets nobody change it: an error, not a NAT that silently does not work."""
    with locked_table():
        net = a.attach(0)
        with pytest.raises(Refused) as e:
            a.nat(0, 1)
        assert e.value.code == FIREWALL
        assert forwarding(net["tap"]) == "0" and a.nat(0, 0) == 0
        assert a.attach(1)["fresh"] == 1


@contextlib.contextmanager
def locked_table():
    """It drops what is forwarded, and goes with the process that made it."""
    script = ("add table inet locked { flags owner; }; add chain inet locked fw "
              "{ type filter hook forward priority 0; policy drop; };\n")
    owner = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        owner.stdin.write(script)
        owner.stdin.flush()
        assert eventually(lambda: "locked" in sh("nft", "list", "tables"))
        yield
    finally:
        owner.stdin.close()
        owner.wait(timeout=10)


def legacy(*args):
    try:
        return subprocess.run(["iptables-legacy", *args], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_iptables_legacy(a):
    """Its rules cannot be changed by us: an error, until the administrator lets the taps through."""
    if not legacy("-P", "FORWARD", "DROP"):
        pytest.skip("this machine has no iptables-legacy, or its kernel no ip_tables")
    try:
        net = a.attach(0)
        with Guest(net) as guest:
            for flag in (None, "-i"):
                assert not flag or legacy("-A", "FORWARD", flag, "bgr+", "-j", "ACCEPT")
                with pytest.raises(Refused) as e:
                    a.nat(0, 1)
                assert e.value.code == FIREWALL
            for _ in range(2):  # the second time changes nothing
                sh(os.path.join(ROOT, "scripts/install-helper"), "--legacy")
            assert sh("iptables-legacy", "-S", "FORWARD").count("bgr+") == 2
            a.nat(0, 1)
            assert guest.ping(WORLD)
    finally:
        subprocess.run(["systemctl", "disable", os.path.basename(LEGACY_UNIT)], capture_output=True)
        if os.path.exists(LEGACY_UNIT):
            os.unlink(LEGACY_UNIT)
        legacy("-F", "FORWARD")
        legacy("-P", "FORWARD", "ACCEPT")
