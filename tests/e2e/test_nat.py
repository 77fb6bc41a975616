# SPDX-License-Identifier: ISC
"""NAT of a real guest: a network namespace beside the host's is the outside world, with a web server in it."""
import os
import signal
import socket
import subprocess

import pytest

from conftest import wait_for

HOST, WORLD, PORT = "198.51.100.1", "198.51.100.2", 8000


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout


@pytest.fixture
def world():
    here = os.readlink("/proc/self/ns/net")
    server = subprocess.Popen(["unshare", "-n", "sh", "-c", "read go; exec python3 -m http.server " + str(PORT)], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/usr/share/doc", text=True)
    try:
        wait_for(lambda: os.readlink(f"/proc/{server.pid}/ns/net") != here, 10)
        sh("ip", "link", "add", "bgtworld", "type", "veth", "peer", "name", "up0", "netns", str(server.pid))
        sh("ip", "address", "add", HOST + "/24", "dev", "bgtworld")
        sh("ip", "link", "set", "bgtworld", "up")
        for args in (["address", "add", WORLD + "/24", "dev", "up0"], ["link", "set", "up0", "up"]):
            sh("nsenter", "-t", str(server.pid), "-n", "ip", *args)
        server.stdin.write("go\n")
        server.stdin.flush()
        wait_for(lambda: subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/{WORLD}/{PORT}"], capture_output=True).returncode == 0, 20)
        yield
    finally:
        server.kill()
        server.wait()
        subprocess.run(["ip", "link", "delete", "bgtworld"], capture_output=True)


def reaches(banger, name):
    script = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{WORLD}/{PORT} && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && head -1 <&3'"
    return "200 OK" in banger("vm", "ssh", name, "--", script).out


def test_nat(banger, vm, world):
    assert banger.json("vm", "show", vm)["nat"] is False
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
    for flags in ([], ["--nat", "--no-nat"]):
        banger.fails(2, "--nat or --no-nat", "vm", "set", "hello", *flags)
