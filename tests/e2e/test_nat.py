# SPDX-License-Identifier: ISC
"""NAT of a real guest: a network namespace beside the host's is the outside world, with a web server in it."""
import os
import signal
import socket
import threading

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


def test_a_port_of_this_machine(banger, vm):
    """--expose-host over the agent: whatever NAT is, after a restart of the guest too, and no other port."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(300)
        port = service.getsockname()[1]

        def serve(times):
            for _ in range(times):
                conn, _ = service.accept()
                with conn:
                    conn.sendall(b"hello from the host\n")
                    asked = conn.makefile("rb").read()  # until the guest's half close
                    conn.sendall(b"asked: " + asked)

        def from_guest(at):
            script = f"exec 3<>/dev/tcp/host.vm/{at} || exit 7; read -r line <&3; echo $line"
            return banger("vm", "exec", vm, "--", "timeout", "60", "bash", "-c", script)

        assert from_guest(port).status == 7, "nothing is exposed yet"
        banger.ok("vm", "set", vm, "--expose-host", str(port))
        assert banger.json("vm", "show", vm)["expose"][0]["port"] == port
        wait_for(lambda: banger.json("vm", "show", vm)["expose"][0]["open"])
        thread = threading.Thread(target=serve, args=(3,), daemon=True)
        thread.start()
        for _ in range(2):
            assert from_guest(port).out == "hello from the host\n"
        script = ("import socket,sys; s=socket.create_connection(('host.vm', int(sys.argv[1]))); s.sendall(b'a question'); "
                  "s.shutdown(socket.SHUT_WR); print(s.makefile().read(), end='')")
        r = banger("vm", "exec", vm, "--", "python3", "-c", script, str(port))
        assert r.out == "hello from the host\nasked: a question", r
        thread.join(30)
        assert from_guest(port + 1 if port < 65535 else port - 1).status == 7
        banger.ok("vm", "restart", vm)
        wait_for(lambda: banger.json("vm", "show", vm)["expose"][0]["open"])
        threading.Thread(target=serve, args=(1,), daemon=True).start()
        assert from_guest(port).out == "hello from the host\n"
        banger.ok("vm", "set", vm, "--unexpose-host", str(port))
        wait_for(lambda: from_guest(port).status == 7)


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
