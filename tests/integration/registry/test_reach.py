# SPDX-License-Identifier: ISC
"""A server out there cannot send the worker to this host, its network or its guests; one that the user names here may be anywhere."""
import contextlib
import ctypes
import os
import subprocess

import pytest

from conftest import Server
from hostuser import is_root
from jobs import Failed, run

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
FAR, NEAR, GUEST = "203.0.113.2", "10.123.45.2", "10.123.46.2"  # in the world, in a private network, behind a tap


def sh(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def within(name):
    """This thread in another network namespace: sockets made there stay there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0
        yield
    finally:
        assert libc.setns(here, CLONE_NEWNET) == 0
        os.close(here)
        os.close(there)


@pytest.fixture(scope="module")
def network():
    """A namespace with these addresses; the host has the first of each /24."""
    if not is_root():
        pytest.skip("needs root: it makes a network namespace")
    name = "bgt-reach"
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    sh("ip", "netns", "add", name)
    try:
        for link, address in ("bgtreach0", FAR), ("bgtreach1", NEAR), ("bgr250-9", GUEST):
            sh("ip", "link", "add", link, "type", "veth", "peer", "name", "p" + link, "netns", name)
            sh("ip", "address", "add", address[:-1] + "1/24" if link[:3] == "bgt" else address[:-1] + "1/32", "dev", link)
            sh("ip", "link", "set", link, "up")
            if link[:3] == "bgr":
                sh("ip", "route", "add", address, "dev", link)
            for argv in ["address", "add", address + "/24", "dev", "p" + link], ["link", "set", "p" + link, "up"]:
                sh("ip", "-n", name, *argv)
        yield name
    finally:
        for link in "bgtreach0", "bgtreach1", "bgr250-9":
            subprocess.run(["ip", "link", "delete", link], capture_output=True)
        sh("ip", "netns", "delete", name)


@pytest.fixture
def servers(network, server):
    """By address; "here" is on this host's loopback."""
    with within(network):
        made = {address: Server(address) for address in (FAR, NEAR, GUEST)}
    yield {**made, "here": server}
    for s in made.values():
        s.close()


def redirected(servers, start, to, out, host=None):
    """Whether a file that start's server sends on to another is fetched."""
    def elsewhere(h):
        h.body(b"", 302, [("Location", f"http://{host or servers[to].host.split(':')[0]}:{servers[to].port}/file")])

    for s in servers.values():
        s.paths, s.requests[:] = {}, []
    servers[start].paths["/begin"] = elsewhere
    servers[to].paths["/file"] = b"what is there"
    try:
        run("fetch", [out.fd, out.fd], url=servers[start].url + "/begin")
    except Failed as e:
        assert e.code == "net.redirects" and "leads to an address of this host" in e.message, str(e)
        assert servers[to].requests == []
        return False
    assert out.read() == b"what is there"
    return True


@pytest.mark.parametrize("start, to, may", [(FAR, "here", False), (FAR, NEAR, False), (FAR, GUEST, False), (NEAR, "here", False),
                                            (NEAR, GUEST, False), (NEAR, FAR, True), ("here", NEAR, True), ("here", GUEST, True),
                                            (GUEST, "here", True), ("here", FAR, True)])
def test_redirect(servers, out, start, to, may):
    assert redirected(servers, start, to, out) == may


@pytest.mark.parametrize("host", ["localhost", "127.1", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]", "203.0.113.1", "10.123.45.1"])
def test_other_names_of_this_host(servers, out, host):
    assert not redirected(servers, FAR, "here", out, host)


@pytest.mark.parametrize("catalog, where, may", [(FAR, "here", False), (NEAR, "here", False), (FAR, NEAR, False), (NEAR, FAR, True), ("here", GUEST, True)])
def test_what_a_catalog_names(servers, out, catalog, where, may):
    servers[where].paths["/file"] = b"what is there"
    try:
        run("fetch", [out.fd, out.fd], url=servers[where].url + "/file", after=servers[catalog].url + "/list.json")
        assert may
    except Failed as e:
        assert not may and e.code == "net.redirects" and servers[where].requests == []


def test_server_for_tokens(servers):
    """What a registry answers a question with leads no nearer, too."""
    far, here = servers[FAR], servers["here"]
    far.answer = lambda h: h.body(b"", 401, [("WWW-Authenticate", f'Bearer realm="http://{here.host}/token",service="x"')])
    with pytest.raises(Failed) as e:
        run("resolve", [], host=far.host, plain=True, repository="a/b", reference="latest", name="the image")
    assert e.value.code == "net.redirects" and here.requests == [], str(e.value)
