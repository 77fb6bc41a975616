# SPDX-License-Identifier: ISC
"""NAME.vm on the host, as docs/names.md has it: `install-helper --names`, a real udev, a real systemd-resolved, a tap of the
network helper. The VM behind it and its name server are played: the name server's own answers are tests/driver/test_dns.c's."""
import fcntl
import json
import os
import socket
import struct
import subprocess
import threading

import pytest

from labhost import SOURCE, Dev, run, until
from privclient import Helper, name_sockets

RULE = "/etc/udev/rules.d/13-banger-names.rules"
LINK = "/usr/libexec/banger/names-link"
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x1000, 0x4000


@pytest.fixture(scope="module")
def resolved(helper_installed):
    """A system bus and systemd-resolved, as systemd would have started them; no polkit, as on many servers."""
    run(["install", "-d", "-o", "systemd-resolve", "-g", "systemd-resolve", "/run/systemd/resolve"])
    run(["install", "-d", "/run/dbus"])
    started = []
    if not os.path.exists("/run/dbus/system_bus_socket"):
        started.append(subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"]))
        until(lambda: os.path.exists("/run/dbus/system_bus_socket"), "the system bus")
    started.append(subprocess.Popen(["/lib/systemd/systemd-resolved"]))
    until(lambda: os.path.exists("/run/systemd/resolve/io.systemd.Resolve"), "systemd-resolved")
    until(lambda: ctl("status"), "resolved on the bus")
    run(["scripts/install-helper", "--names"], cwd=SOURCE)
    yield
    run(["scripts/install-helper", "--uninstall", "--names"], cwd=SOURCE)
    assert not os.path.exists(RULE) and not os.path.exists(LINK)
    for process in reversed(started):
        process.terminate()
        process.wait(20)


def ctl(*words):
    """What resolvectl prints; "" when it fails."""
    out = subprocess.run(["resolvectl", "--no-pager", *words], capture_output=True, text=True, timeout=40, stdin=subprocess.DEVNULL)
    return out.stdout if out.returncode == 0 else ""


def query(name):
    return ctl("--legend=no", "--cache=no", "query", name)


def serve(sock, asked, names):
    """A for what is in names, else that there is no such name."""
    while True:
        try:
            data, who = sock.recvfrom(4096)
        except OSError:
            return
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        name, end = ".".join(labels), at + 5
        kind, = struct.unpack(">H", data[at + 1:at + 3])
        asked.append(name)
        found = names.get(name)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(found) if found and kind == 1 else b""
        sock.sendto(data[:2] + struct.pack(">HHHHH", 0x8580 | (0 if found else 3), 1, bool(answer), 0, 0) + data[12:end] + answer, who)


class Tap:
    """Slot 0 of a user, opened as a VMM would, and who answers at its gateway."""

    def __init__(self, user):
        self.helper = Helper(user)
        self.helper.hello()
        self.card = self.helper.attach(0)
        self.name = self.card["tap"]
        self.sock, self.tcp = name_sockets(user, self.card["gateway"])
        self.sock.settimeout(None)
        self.helper.dns_port(self.sock, self.tcp)
        self.asked = []
        self.fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", self.name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        threading.Thread(target=serve, args=(self.sock, self.asked, {"named.vm": self.card["guest"]}), daemon=True).start()

    def end(self):
        os.close(self.fd)
        self.sock.close()
        self.tcp.close()
        self.helper.cleanup()
        self.helper.close()


@pytest.fixture(scope="module")
def tap(resolved, member):
    made = Tap(member)
    yield made
    made.end()


def test_udev_tells_resolved(tap):
    until(lambda: "~vm" in ctl("domain", tap.name), "the tap's domain")
    assert tap.card["gateway"] in ctl("dns", tap.name)
    assert ": no" in ctl("default-route", tap.name)


def test_name_resolves_on_the_host(tap):
    assert tap.card["guest"] in until(lambda: query("named.vm"), "named.vm")
    assert tap.card["guest"] in query("NAMED.vm")


def test_name_that_is_not_there(tap):
    assert query("nobody.vm") == ""
    assert "nobody.vm" in tap.asked


def test_other_names_are_not_asked_here(tap):
    query("somewhere.example")
    assert not [n for n in tap.asked if not n.endswith(".vm")]


def test_unprivileged_may_not_change_a_link(tap, member):
    """Why an administrator is needed at all."""
    out = member.run(["resolvectl", "dns", tap.name, "10.0.0.1"], capture_output=True, text=True)
    assert out.returncode != 0, out
    assert "10.0.0.1" not in ctl("dns", tap.name)


def test_doctor_knows(resolved):
    with Dev("dev-names") as user:
        def names():
            out = user.run(["banger", "doctor", "--json"], capture_output=True, text=True)
            return [c for c in json.loads(out.stdout)["checks"] if c["name"] == "names"][0]
        found = names()
        assert found["state"] == "ok" and "systemd-resolved asks there" in found["text"], found
        os.rename(RULE, RULE + ".away")
        try:
            found = names()
        finally:
            os.rename(RULE + ".away", RULE)
        assert found["state"] == "warn" and "install-helper --names" in found["hint"], found
        user.run(["banger", "daemon", "stop"])


def test_taps_that_were_there_are_told_at_installation(tap):
    run(["resolvectl", "revert", tap.name])
    assert "~vm" not in ctl("domain", tap.name)
    run(["scripts/install-helper", "--names"], cwd=SOURCE)
    assert "~vm" in ctl("domain", tap.name)
