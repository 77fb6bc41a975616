# SPDX-License-Identifier: ISC
"""Refusals that need a kernel or a host without something, and at the end: every code of the network helper's was seen in this run."""
import contextlib
import ctypes
import errno
import os
import struct

import pytest

import privclient
from conftest import Traces, indexes, others_at_work, rows
from hostuser import HostUser
from privclient import FAILED, NO_FORWARD, NO_NFT, NO_TUN, USERS, Helper, Refused
from test_nat import sh, world  # noqa: F401

NR = {"x86_64": {"socket": 41, "ioctl": 16, "pwrite64": 18}, "aarch64": {"socket": 198, "ioctl": 29, "pwrite64": 68}}[os.uname().machine]
NETLINK_NETFILTER, TUNSETOWNER, TUNSETPERSIST = 12, 0x400454CC, 0x400454CB
CLONE_NEWNS = 0x20000
libc = ctypes.CDLL(None, use_errno=True)


class Failing(HostUser):
    """A user in whose programs one system call fails, when one argument has that value."""

    def __init__(self, user, name, arg, value, error):
        self.user = user
        self.filter = b"".join(struct.pack("<HBBI", *row) for row in (
            (0x20, 0, 0, 0), (0x15, 0, 3, NR[name]),  # the call's number, else the last row
            (0x20, 0, 0, 16 + 8 * arg), (0x15, 0, 1, value),
            (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7FFF0000)))

    def become(self):
        code = ctypes.create_string_buffer(self.filter)
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(self.filter) // 8, ctypes.addressof(code)))
        assert libc.prctl(22, 2, program, 0, 0) == 0  # as root: without no_new_privs, which would take the helper's capability
        self.user.become()


def refused(act):
    with pytest.raises(Refused) as e:
        act()
    return e.value.code


def test_kernel_without_nf_tables(alice):
    with Helper(Failing(alice, "socket", 2, NETLINK_NETFILTER, errno.EPROTONOSUPPORT)) as h:
        assert refused(h.hello) == NO_NFT


@pytest.mark.parametrize("command", [TUNSETOWNER, TUNSETPERSIST])
def test_kernel_refuses(alice, index, command):
    """In the middle of an attach: nothing is left."""
    with Helper(Failing(alice, "ioctl", 1, command, errno.EIO)) as h:
        h.hello()
        assert refused(lambda: h.attach(0)) == FAILED
        assert h.list() == 0 and Traces(index).empty()


def test_closed_tun_device(alice, index, alone):
    old = os.stat("/dev/net/tun").st_mode & 0o7777
    os.chmod("/dev/net/tun", 0o600)
    try:
        with Helper(alice) as h:
            h.hello()
            assert refused(lambda: h.attach(0)) == NO_TUN and not rows(index)
    finally:
        os.chmod("/dev/net/tun", old)


def test_forwarding_that_cannot_be_set(alice, index):
    """As in a container with a read-only /proc/sys."""
    with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
        f.write("0")
    with own_mounts():
        sh("mount", "--bind", "-o", "ro", "/proc/sys/net/ipv4", "/proc/sys/net/ipv4")
        with Helper(alice) as h:
            h.hello()
            h.attach(0)
            assert refused(lambda: h.nat(0, 1)) == NO_FORWARD and h.nat(0, 0) == 0


@contextlib.contextmanager
def own_mounts():
    """This process, and what it starts, with mounts that nobody else sees."""
    old, cwd = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.getcwd()
    assert libc.unshare(CLONE_NEWNS) == 0
    try:
        sh("mount", "--make-rprivate", "/")
        yield
    finally:
        assert libc.setns(old, CLONE_NEWNS) == 0
        os.chdir(cwd)
        os.close(old)


def test_no_room_for_a_new_user(alice, index, conf):
    conf(f"max_users = {index + 1}\n")
    with HostUser("bgt-late", ["banger"]) as late:
        if not all(any_user(i) for i in range(index + 1)):
            pytest.skip("the ledger has free blocks below this user's")
        with Helper(late) as h:
            assert refused(h.hello) == USERS and not indexes(late.uid)


def test_kernel_without_ipv6(alice, index):
    """There is nothing to turn off then."""
    with own_mounts():
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/proc/sys/net/ipv6")
        with Helper(alice) as h:
            h.hello()
            assert h.attach(0)["fresh"] == 1 and h.nat(0, 1) == 1
            h.cleanup()


def test_ipv6_settings_that_are_not_roots(alice):
    """A folder in their place that others can write to is a refusal, not another kernel."""
    with own_mounts():
        sh("mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/proc/sys/net/ipv6")
        with Helper(alice) as h:
            assert refused(h.hello) == NO_TUN


def test_silence(silent):
    """A helper that hears no HELLO ends by itself."""
    assert silent.proc.wait(timeout=60) == 1


def any_user(i):
    with open("/var/lib/banger/net.ledger", "rb") as f:
        f.seek(i * 8192)
        return any(f.read(64))


def test_every_code_was_seen(request):
    """Of the whole suite; the disk helper's are the lab's (tests/lab/test_disk.py)."""
    if not {"test_client.py", "test_hostile.py", "test_keeper.py", "test_nat.py", "test_net.py"} <= {i.path.name for i in request.session.items}:
        pytest.skip("only a part of the suite runs")
    if others := others_at_work():
        pytest.skip(f"tests of what all share did not run: {others}")
    net = set(range(1, privclient.SOCKETS + 1)) | {privclient.ROUTE, privclient.KEEPER}
    assert net - privclient.CODES_SEEN == set()
