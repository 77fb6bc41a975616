# SPDX-License-Identifier: ISC
"""The network verbs as an ordinary user sees them, and what they leave on the machine."""
import fcntl
import os
import re
import struct
import subprocess
import time

import pytest

from conftest import LEDGER, Traces, ip, leave_nothing, links, poke, rows
from privclient import BUSY, HELLO, SLOT_LIMIT, TAKEN, VERSION, Ended, Helper, Refused, message
from privclient import LEDGER as LEDGER_CODE

TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x0100


def open_tap(name, flags=IFF_TAP | IFF_NO_PI | IFF_VNET_HDR):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError:
        os.close(fd)
        raise
    return fd


def as_user(user, f):
    """Whether f() works for the user: in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            user.become()
            f()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def test_attach(alice, index):
    with Helper(alice) as h:
        hello = h.hello()
        net = h.attach(3)
        assert net == {"fresh": 1, "tap": f"bgr{index}-3", "guest": f"10.209.{index}.5",
                       "gateway": hello["gateway"], "mac": f"02:62:67:00:{index:02x}:03"}
        show = ip("-d", "link", "show", net["tap"])
        assert f"tun type tap pi off vnet_hdr on persist on user {alice.name}" in show
        assert "multi_queue" not in show and ",UP" in show
        assert f"alias banger uid {alice.uid} slot 3" in show
        assert f"inet {net['gateway']}/32" in ip("addr", "show", net["tap"])
        assert "inet6" not in ip("addr", "show", net["tap"])
        route = ip("route", "show", net["guest"])
        assert f"dev {net['tap']}" in route and f"src {net['gateway']}" in route
        assert h.list() == 1 << 3
        assert h.detach(3) == 1
        assert h.list() == 0
    assert Traces(index).empty()


@pytest.mark.parametrize("key,value", [
    ("ipv4/conf/{}/rp_filter", "1"), ("ipv4/conf/{}/arp_ignore", "1"), ("ipv4/conf/{}/arp_announce", "2"),
    ("ipv4/conf/{}/accept_redirects", "0"), ("ipv4/conf/{}/send_redirects", "0"),
    ("ipv4/conf/{}/accept_source_route", "0"), ("ipv4/conf/{}/route_localnet", "0"),
    ("ipv4/conf/{}/proxy_arp", "0"), ("ipv4/conf/{}/forwarding", "0"), ("ipv6/conf/{}/disable_ipv6", "1"), ("ipv6/conf/{}/accept_ra", "0"),
])
def test_settings(alice, index, key, value):
    with Helper(alice) as h:
        h.hello()
        path = "/proc/sys/net/" + key.format(h.attach(0)["tap"])
        with open(path) as f:
            assert f.read().strip() == value


def test_idempotent(alice, index):
    with Helper(alice) as h:
        h.hello()
        first = h.attach(0)
        before = Traces(index)
        again = h.attach(0)
        assert (first.pop("fresh"), again.pop("fresh")) == (1, 0)
        assert first == again and Traces(index) == before
        assert (h.detach(0), h.detach(0), h.detach(9)) == (1, 0, 0)


def test_settings_are_put_right(alice, index):
    """As when Docker starts: ip_forward turned on turns forwarding on for every interface there is."""
    with Helper(alice) as h:
        h.hello()
        h.attach(0)
        path = f"/proc/sys/net/ipv4/conf/bgr{index}-0/forwarding"
        with open(path, "w") as f:
            f.write("1")
        assert h.attach(0)["fresh"] == 0
        with open(path) as f:
            assert f.read() == "0\n"


def test_survives_helper(alice, index):
    with Helper(alice) as h:
        h.hello()
        h.attach(1)
        assert h.close() == 0
    with Helper(alice) as h:
        h.hello()
        assert h.list() == 1 << 1
        assert h.attach(1)["fresh"] == 0


def test_all_slots_and_cleanup(alice, index):
    with Helper(alice) as h:
        h.hello()
        for slot in range(64):
            h.attach(slot)
        assert h.list() == 2**64 - 1
        assert len(links(index)) == 64 and len(rows(index)) == 64
        assert h.cleanup() == 2**64 - 1
        assert h.cleanup() == 0
    assert Traces(index).empty()


def test_slot_limit(alice, index, conf):
    with Helper(alice) as h:
        h.hello()
        h.attach(2)
    conf("slots_per_user = 2\n")
    with Helper(alice) as h:
        assert h.hello()["slots"] == 2
        h.attach(1)
        with pytest.raises(Refused) as e:
            h.attach(2)
        assert e.value.code == SLOT_LIMIT
        assert h.detach(2) == 1  # what was granted before can always be given back


def test_pool_moves(alice, index, conf):
    with Helper(alice) as h:
        h.hello()
        h.attach(0)
    conf("pool = 10.77.0.0/16\n")
    with Helper(alice) as h:
        assert h.hello()["gateway"] == f"10.77.{index}.1"
        assert h.attach(0)["guest"] == f"10.77.{index}.2"
    assert "10.209." not in " ".join(Traces(index).routes + Traces(index).addresses)


def test_other_build(alice):
    with Helper(alice) as h:
        with pytest.raises(Refused) as e:
            h.hello(table_hash=12345)
        assert e.value.code == VERSION
        assert h.wait() == 0


def test_owner_can_use_it_and_bob_cannot(alice, bob, index):
    with Helper(alice) as h:
        h.hello()
        tap = h.attach(0)["tap"]
    assert as_user(alice, lambda: open_tap(tap))
    assert not as_user(bob, lambda: open_tap(tap))
    assert not as_user(alice, lambda: open_tap(tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE))


def test_users_do_not_meet(alice, bob, index):
    with Helper(alice) as a, Helper(bob) as b:
        ha, hb = a.hello(), b.hello()
        assert ha["index"] != hb["index"] and ha["gateway"] != hb["gateway"]
        mine = a.attach(0)
        before = Traces(index)
        assert b.list() == 0
        assert b.detach(0) == 0
        assert b.cleanup() == 0
        theirs = b.attach(0)
        assert not {mine["tap"], mine["guest"], mine["mac"]} & {theirs["tap"], theirs["guest"], theirs["mac"]}
        assert Traces(index) == before
        assert a.list() == 1
        b.cleanup()


def unpersist(tap):
    fcntl.ioctl(open_tap(tap), TUNSETPERSIST, 0)


def routed(source, target):
    """Whether the kernel would pass on what comes in at one tap for the guest of the other."""
    return subprocess.run(["ip", "route", "get", target["guest"], "from", source["guest"], "iif", source["tap"]],
                          capture_output=True).returncode == 0


def test_no_way_from_guest_to_guest(alice, bob, index, alone):
    """Also where the machine forwards: a new tap does not."""
    with open("/proc/sys/net/ipv4/ip_forward") as f:
        old = f.read()
    with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
        f.write("1")
    try:
        with Helper(alice) as a, Helper(bob) as b:
            a.hello()
            b.hello()
            mine, theirs = a.attach(0), b.attach(0)
            for source, target in (mine, theirs), (theirs, mine):
                assert not routed(source, target)
                with open(f"/proc/sys/net/ipv4/conf/{source['tap']}/forwarding", "w") as f:
                    f.write("1")
                assert routed(source, target)  # so it was that setting
    finally:
        with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write(old)
        leave_nothing(bob)


def test_owner_unpersists(alice, index):
    with Helper(alice) as h:
        h.hello()
        tap = h.attach(0)["tap"]
        assert as_user(alice, lambda: unpersist(tap))
        assert links(index) == []
        assert h.list() == 0
        assert h.attach(0)["fresh"] == 1


def test_owner_gives_it_away(alice, bob, index):
    """The owner of a tap may re-own it; it stays Alice's slot, and goes when she says so."""
    def give():
        fcntl.ioctl(open_tap(f"bgr{index}-0"), TUNSETOWNER, bob.uid)

    with Helper(alice) as h:
        h.hello()
        h.attach(0)
        assert as_user(alice, give)
        assert h.list() == 0
        assert h.attach(0)["fresh"] == 1
        assert f"user {alice.name}" in ip("-d", "link", "show", f"bgr{index}-0")
        assert as_user(alice, give)
        assert h.detach(0) == 1
    assert Traces(index).empty()


def test_device_of_the_administrator(alice, index):
    """A device with a slot's name that no row knows: not taken over, not removed."""
    name = f"bgr{index}-4"
    ip("tuntap", "add", "dev", name, "mode", "tap", "user", alice.name)
    try:
        with Helper(alice) as h:
            h.hello()
            with pytest.raises(Refused) as e:
                h.attach(4)
            assert e.value.code == TAKEN
            assert (h.detach(4), h.cleanup()) == (0, 0)
        assert links(index) == [name] and not rows(index)
    finally:
        ip("link", "delete", name)


def test_replaced_device(alice, index):
    """A row whose device was removed and made anew by the administrator: by name it is ours, by index not."""
    name = f"bgr{index}-4"
    with Helper(alice) as h:
        h.hello()
        h.attach(4)
        ip("link", "delete", name)
        ip("tuntap", "add", "dev", name, "mode", "tap", "user", alice.name)
        try:
            assert h.list() == 0
            with pytest.raises(Refused) as e:
                h.attach(4)
            assert e.value.code == TAKEN
            assert h.detach(4) == 0
            assert links(index) == [name] and not rows(index)
        finally:
            ip("link", "delete", name)


@pytest.mark.parametrize("at", range(0, 64))
def test_damaged_row(alice, index, at):
    """Each byte of a row damaged in turn: at the next connection neither row nor tap is left."""
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        h.close()
    poke(index, 7, bytes([rows(index)[7][at] ^ 0x10]), at)
    with Helper(alice) as h:
        h.hello()
        assert Traces(index).empty()


def test_damaged_row_and_foreign_device(alice, index):
    """With the index lost, a device of the row's name is removed only if it is also the user's."""
    name = f"bgr{index}-7"
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        h.close()
    poke(index, 7, b"\xff", 40)
    ip("link", "delete", name)
    ip("tuntap", "add", "dev", name, "mode", "tap")
    try:
        with Helper(alice) as h:
            h.hello()
            assert links(index) == [name] and not rows(index)
    finally:
        ip("link", "delete", name)


def test_damaged_row_without_device(alice, index):
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        h.close()
    poke(index, 7, b"\xff", 40)
    ip("link", "delete", f"bgr{index}-7")
    with Helper(alice) as h:
        h.hello()
        assert Traces(index).empty()


def test_renamed_device(alice, index):
    """A tap that the administrator took for something else is no longer the slot's: left alone."""
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        ip("link", "set", f"bgr{index}-7", "down")
        ip("link", "set", f"bgr{index}-7", "name", "bgt-else")
        try:
            assert h.list() == 0 and h.detach(7) == 1
            assert "bgt-else" in os.listdir("/sys/class/net") and not rows(index)
        finally:
            ip("link", "delete", "bgt-else")


def test_row_of_another_boot(alice, index):
    """A complete, valid row whose tap went with the reboot: simulated with a foreign boot id and checksum."""
    import zlib
    with Helper(alice) as h:
        h.hello()
        h.attach(7)
        h.close()
    row = bytearray(rows(index)[7])
    row[32] ^= 0xff
    row[60:64] = struct.pack("<I", zlib.crc32(bytes(row[:60])))
    poke(index, 7, bytes(row))
    ip("link", "delete", f"bgr{index}-7")
    with Helper(alice) as h:
        h.hello()
        assert Traces(index).empty()


def test_stopped_helper_stalls_only_its_own(alice, bob, index):
    with Helper(alice) as a:
        a.hello()
        assert as_user(alice, lambda: os.kill(a.pid, 19))
        with Helper(bob) as b:
            b.hello()
            b.attach(0)
            b.cleanup()
        with Helper(alice) as again:
            with pytest.raises(Refused) as e:
                again.hello()
            assert e.value.code == BUSY


def test_next_helper_waits_for_the_last(alice, index):
    """bangerd that comes back while its old helper still ends is not turned away."""
    first = Helper(alice)
    first.hello()
    with Helper(alice) as second:
        second.raw(message(HELLO, struct.pack("<Q", Helper.table_hash())))
        deadline = time.monotonic() + 10
        while "nanosleep" not in wchan(second.pid) and time.monotonic() < deadline:
            pass
        first.kill()
        assert second.receive()[2] == 0


def wchan(pid):
    with open(f"/proc/{pid}/wchan") as f:
        return f.read()


def test_empty_ledger_grows(alice, alone):
    """What a package's tmpfiles.d leaves: an empty file with the right owner and mode."""
    with Helper(alice) as h:
        h.hello()
    with open(LEDGER, "rb") as f:
        old = f.read()
    os.truncate(LEDGER, 0)
    try:
        with Helper(alice) as h:
            assert h.hello()["index"] == 0
        assert os.path.getsize(LEDGER) == len(old)
    finally:
        with open(LEDGER, "r+b") as f:
            f.write(old)


@pytest.mark.parametrize("size", [1, 4096, 2097151, 2097153])
def test_ledger_of_another_size(alice, alone, size):
    with open(LEDGER, "rb") as f:
        old = f.read()
    os.truncate(LEDGER, size)
    try:
        with Helper(alice) as h, pytest.raises(Refused) as e:
            h.hello()
        assert e.value.code == LEDGER_CODE
    finally:
        os.truncate(LEDGER, len(old))
        with open(LEDGER, "r+b") as f:
            f.write(old)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o662])
def test_ledger_others_can_touch(alice, alone, mode):
    os.chmod(LEDGER, mode)
    try:
        with Helper(alice) as h, pytest.raises(Refused) as e:
            h.hello()
        assert e.value.code == LEDGER_CODE
    finally:
        os.chmod(LEDGER, 0o660)


def test_max_users(alice, bob, conf, index):
    """A bound on new users takes nothing from old ones."""
    conf("max_users = 1\n")
    for user in (alice, bob):
        with Helper(user) as h:
            assert re.match(r"10\.209\.\d+\.1$", h.hello()["gateway"])


def test_source_addresses(alice, index):
    """A frame with another guest's address as sender, put into the tap by its owner, is not answered."""
    with open("/proc/sys/net/ipv4/conf/all/rp_filter") as f:
        if f.read().strip() == "2":
            pytest.skip("net.ipv4.conf.all.rp_filter is 2 (loose) on this machine, which outweighs the tap's own")
    with Helper(alice) as h:
        h.hello()
        one, two = h.attach(0), h.attach(1)
        with open(os.path.join(os.path.dirname(__file__), "guest_ping.py")) as script:
            got = subprocess.run(alice.command(["/usr/bin/python3", "-", one["gateway"], one["tap"], one["guest"],
                                                two["tap"], two["guest"]]),
                                 stdin=script, capture_output=True, text=True, timeout=60)
        assert got.stdout.splitlines() == [f"before: {one['guest']} {two['guest']}", f"after: {one['guest']}"], got


def test_end_without_a_word(alice):
    h = Helper(alice)
    assert h.close() == 0
    with pytest.raises((Ended, OSError)):
        h.receive()
