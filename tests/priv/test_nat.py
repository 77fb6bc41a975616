# SPDX-License-Identifier: ISC
"""NET_NAT and the rules of every tap, in a network namespace of the test's own with a second one as the world."""
import contextlib
import ctypes
import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from guest import Guest
from privclient import NET_NAT, FIREWALL, NOT_ATTACHED, PORT_TAKEN, CLEANUP, HELLO, NET_ATTACH, NET_DETACH, Helper, Refused, message

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
        assert not guest.ping(WORLD) and not guest.ping(DISTANT)
        assert a.nat(0, 1) == 1
        assert guest.ping(WORLD) and guest.ping(DISTANT)
        assert a.nat(0, 1) == 0
        assert guest.ping(WORLD)
        assert a.nat(0, 0) == 1
        assert not guest.ping(WORLD)
        assert a.nat(0, 0) == 0


def test_slot_by_slot(a):
    one, two = a.attach(0), a.attach(1)
    a.nat(1, 1)
    with Guest(one) as first, Guest(two) as second:
        assert second.ping(WORLD) and not first.ping(WORLD)
        a.detach(1)
        assert a.attach(1)["fresh"] == 1
    with Guest(two) as second:
        assert not second.ping(WORLD)  # NAT went with the slot


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
        assert not other.ping(WORLD)  # though the kernel turned its forwarding on as well
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
            assert not guest.ping(one["gateway"], source)
        assert not other.listen(lambda *p: p[1] == 1)
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
            assert not guest.connect(address, 7777)
        assert not guest.connect(HOST, 53) and not guest.ping(HOST)
        assert guest.connect(WORLD, 7777)  # the world says that nobody listens there


def test_published_ports_of_the_host(a):
    """A port that Docker publishes is the host's service, though it is forwarded."""
    net = a.attach(0)
    a.nat(0, 1)
    sh("nft", "add table ip dock; add chain ip dock pre { type nat hook prerouting priority -100; };"
       f"add rule ip dock pre ip daddr {HOST} tcp dport 8080 dnat to {WORLD}:80")
    try:
        with Guest(net) as guest:
            assert not guest.connect(HOST, 8080)
    finally:
        sh("nft", "delete table ip dock")


def test_name_server(a, b):
    """The socket is the gateway's port 53 and nothing else; a guest is heard, of other users' guests none."""
    gateway, sock = a.dns()
    with sock:
        assert sock.getsockname() == (gateway, 53) and gateway == a.info["gateway"]
        net, other = a.attach(0), b.attach(0)
        with pytest.raises(Refused) as e:
            a.dns()
        assert e.value.code == PORT_TAKEN
        sock.settimeout(5)
        with Guest(net) as guest, Guest(other) as stranger:
            stranger.send(gateway, 17, struct.pack(">HHHH", 9, 53, 12, 0) + b"othr")
            guest.send(gateway, 17, struct.pack(">HHHH", 9, 53, 12, 0) + b"mine")
            data, client = sock.recvfrom(100)
            assert (data, client) == (b"mine", (net["guest"], 9))
            sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                sock.recvfrom(100)
    a.dns()[1].close()


def test_metadata(a):
    net = a.attach(0)
    a.nat(0, 1)
    with Guest(net) as guest:
        assert guest.ping(WORLD) and not guest.ping("169.254.169.254")


def test_guests_of_one_user(a):
    one, two = a.attach(0), a.attach(1)
    for slot in (0, 1):
        a.nat(slot, 1)
    with Guest(one) as first, Guest(two) as second:
        serve(second)
        assert first.ping(two["guest"])
        stop(second)


def serve(guest):
    """Answers pings in the background."""
    guest.on = True

    def answer(source, protocol, data):
        if protocol == 1 and data[0] == 8:
            from guest import checksum
            body = b"\0\0\0\0" + data[4:]
            guest.send(source, 1, body[:2] + checksum(body) + body[4:])
        return not guest.on

    guest.thread = threading.Thread(target=lambda: [guest.listen(answer, 0.1) for _ in iter(lambda: guest.on, False)])
    guest.thread.start()


def stop(guest):
    guest.on = False
    guest.thread.join()


def test_guests_of_two_users(a, b):
    mine, theirs = a.attach(0), b.attach(0)
    a.nat(0, 1)
    b.nat(0, 1)
    with Guest(mine) as guest, Guest(theirs) as other:
        serve(other)
        assert guest.ping(WORLD)
        assert not guest.ping(theirs["guest"]) and not guest.ping(theirs["gateway"])
        stop(other)
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
            assert not guest.hears(b"from-other", lambda: as_user(user, lambda: say(b"from-other", net["guest"])))
        assert not guest.hears(b"from-root", lambda: say(b"from-root", net["guest"]))


def test_from_the_world(world, a):
    """The outside routes to the guest and is not let in."""
    net = a.attach(0)
    a.nat(0, 1)
    sh(*world, "ip", "route", "replace", net["guest"] + "/32", "via", HOST)
    say_there = [*world, "python3", "-c", "import socket,sys;socket.socket(socket.AF_INET,socket.SOCK_DGRAM)"
                 ".sendto(b'from-world',(sys.argv[1],9999))", net["guest"]]
    with Guest(net) as guest:
        assert not guest.hears(b"from-world", lambda: sh(*say_there))


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
            assert not guest.ping(WORLD)
            assert ruleset() == before
            sh(*off)
            a.nat(0, 1)
            sh(*on)  # Docker starts
            assert eventually(lambda: guest.ping(WORLD))
            a.detach(0)
            assert "bgr" not in sh("nft", "list", "ruleset")
    finally:
        sh(*off)


def eventually(check, seconds=2):
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
        assert guest.ping(WORLD) and not other.ping(WORLD)
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
    return sorted(t["table"]["handle"] for t in json.loads(sh("nft", "-j", "list", "tables"))["nftables"] if "table" in t)


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
        assert eventually(lambda: "locked" in sh("nft", "list", "tables"), 10)
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
