# SPDX-License-Identifier: ISC
"""NAT of a real guest: a network namespace beside the host's is the outside world, with a web server in it."""
import os
import signal
import socket
import subprocess

import pytest

from conftest import PORT, WORLD, outside, wait_for

@pytest.fixture
def world():
    with outside("/usr/share/doc"):
        yield


def reaches(banger, name):
    script = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{WORLD}/{PORT} && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && head -1 <&3'"
    return "200 OK" in banger("vm", "ssh", name, "--", script).out


def test_nat(banger, vm, world):
    assert banger.json("vm", "show", vm)["nat"] is True  # the default
    assert reaches(banger, vm)
    banger.ok("vm", "set", vm, "--no-nat")
    assert not reaches(banger, vm)
    banger.ok("vm", "set", vm, "--nat")
    assert reaches(banger, vm)
    assert banger.json("vm", "show", vm)["nat"] is True

    status = banger.json("daemon", "status")
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{status['pid']}"), 10)
    wait_for(lambda: banger.json("vm", "show", vm)["ready"])  # the next daemon adopts it
    assert reaches(banger, vm)

    banger.ok("vm", "restart", vm)
    assert reaches(banger, vm)
    banger.ok("vm", "set", vm, "--no-nat")
    assert not reaches(banger, vm)


def test_names(banger, vm):
    """NAME.vm from within the guest, and for the host at the gateway's address."""
    address = banger.json("vm", "show", vm)["address"]
    assert banger.ok("vm", "ssh", vm, "--", f"getent ahostsv4 {vm}.vm").out.split()[0] == address
    assert banger("vm", "ssh", vm, "--", "getent ahostsv4 no-such-vm.vm").status == 2
    question = b"\x07\x07\1\0\0\1\0\0\0\0\0\0" + bytes([len(vm)]) + vm.encode() + b"\2vm\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(question, (address.rsplit(".", 1)[0] + ".1", 53))
        assert s.recv(512).endswith(socket.inet_aton(address))


def test_set_asks_for_one_of_the_two(banger):
    banger.fails(2, "--nat or --no-nat", "vm", "set", "hello", "--nat", "--no-nat")
    banger.fails(2, "what should change?", "vm", "set", "hello")
