# SPDX-License-Identifier: ISC
"""banger beside a real firewalld, under a real systemd: what docs/networking.md says of it. Its machine is a Debian of its own, so that no
firewalld comes to this one. Only in `check packages`."""
import contextlib
import ctypes
import os
import socket
import subprocess
import sys

import pytest

import sdmachine
from conftest import SOURCE, run

sys.path.insert(0, os.path.join(SOURCE, "tests/priv"))

from guest import QUIET, Guest  # noqa: E402
from hostuser import HostUser  # noqa: E402
from privclient import HELPER, Helper, name_sockets  # noqa: E402

NEEDS = ("systemd", "systemd-sysv", "init", "dbus", "libpam-systemd", "procps", "iproute2", "nftables", "firewalld")
HOST, WORLD = "198.51.100.1", "198.51.100.2"
CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    reason = sdmachine.why_not() or (None if os.path.exists(HELPER) else f"{HELPER} is not installed")
    if reason:
        pytest.skip(reason)
    root = os.environ.get("BANGER_FIREWALLD_ROOT") or str(tmp_path_factory.mktemp("firewalld") / "root")
    if not os.path.exists(root):
        run("mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--skip=check/qemu", "--include=" + ",".join(NEEDS), "bookworm", root)
    for path in (os.path.dirname(root), os.path.dirname(os.path.dirname(root))):
        os.chmod(path, 0o755)
    with sdmachine.Machine(root, name="firewalld") as m:
        yield m
        m.shutdown()


@pytest.fixture(scope="module")
def net(machine):
    """This process, and the helper that it starts, in the machine's network, with a second network as the world behind up0."""
    libc, old = ctypes.CDLL(None, use_errno=True), os.open("/proc/self/ns/net", os.O_RDONLY)
    world = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=subprocess.PIPE)
    world.stdout.readline()
    inside = os.open(f"/proc/{machine.pid}/ns/net", os.O_RDONLY)
    assert libc.setns(inside, CLONE_NEWNET) == 0
    try:
        for args in (["link", "add", "up0", "type", "veth", "peer", "name", "world0", "netns", str(world.pid)],
                     ["address", "add", HOST + "/24", "dev", "up0"], ["link", "set", "up0", "up"], ["route", "add", "default", "via", WORLD]):
            run("ip", *args)
        for args in (["address", "add", WORLD + "/24", "dev", "world0"], ["link", "set", "world0", "up"]):
            run("nsenter", "-t", str(world.pid), "-n", "ip", *args)
        yield machine
    finally:
        world.kill()
        world.wait()
        libc.setns(old, CLONE_NEWNET)
        os.close(inside)
        os.close(old)


@pytest.fixture(scope="module")
def helper(net):
    with HostUser("bgt-fw", ["banger"]) as user, Helper(user) as h:
        h.member = user
        h.hello()
        h.cleanup()
        yield h
        h.cleanup()


def wall(m, *args):
    return m.run(["firewall-cmd", *args]).stdout


# What docs/networking.md and `banger doctor` say.
REMEDY = "firewall-cmd --permanent --zone=trusted --add-interface=bgr+ && firewall-cmd --reload"


@contextlib.contextmanager
def names(helper, taken):
    """bangerd's sockets for names, played; what it yields asks them as a guest does."""
    udp, tcp = name_sockets(helper.member, taken["gateway"])
    helper.dns_port(udp, tcp)
    udp.settimeout(2)

    def asked(guest):
        guest.ask_names(b"name")
        try:
            return udp.recv(64) == b"name"
        except TimeoutError:
            return False

    with udp, tcp:
        yield asked


# The kernel remembers an earlier guest's flows for a while.
FIRST_PORTS = {"public": 20000, "drop": 30000}


@pytest.fixture(params=FIRST_PORTS)
def zone(net, request):
    """The zone of the uplink and, as firewalld has it, of every interface that nobody named; nothing of an earlier test's is left."""
    wall(net, "--set-default-zone=" + request.param)
    yield request.param
    wall(net, "--permanent", "--zone=trusted", "--remove-interface=bgr+")
    wall(net, "--reload")


def test_beside_a_real_firewalld(net, helper, zone):
    """As it is firewalld lets no guest out; with the remedy they get out, also after its reload. Names work in both cases, and
    banger's own fence holds though the zone trusts the guest."""
    taken = helper.attach(0)
    helper.nat(0, 1)
    try:
        with names(helper, taken) as asked, socket.create_server(("0.0.0.0", 7022)), Guest(taken) as guest:
            guest.port = FIRST_PORTS[zone]
            assert not guest.connect(WORLD, 80, QUIET) and asked(guest)
            net.run(["sh", "-c", REMEDY])
            for again in range(2):
                assert guest.connect(WORLD, 80) and asked(guest), f"reloads: {again}"
                assert not guest.connect(taken["gateway"], 7022, QUIET)
                wall(net, "--reload")
    finally:
        helper.detach(0)
