# SPDX-License-Identifier: ISC
"""Pause, suspend and resume of one real guest: what it had in memory and on its disks is there, and what led into it leads into it again."""
import os
import socket
import subprocess

import pytest

from conftest import as_user, wait_for
from ports import free_port

NAME = "t-suspend"
# Answers a line on the guest's port 7 with how often it was asked: what it counts is in its memory alone.
SERVER = ("import socket,itertools\n"
          "s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('',7)); s.listen(16)\n"
          "for n in itertools.count(1):\n"
          "    c,_=s.accept(); c.sendall(b'%d\\n' % n); c.close()\n")


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def guest(banger, port):
    banger("vm", "delete", "--force", NAME)
    banger.ok("vm", "create", NAME, "--memory", "512M", "--publish", f"{port}:7")
    yield banger
    banger("vm", "delete", "--force", NAME)


def inside(banger, *command):
    return banger.ok("vm", "exec", NAME, "--", *command).out


def record(banger):
    return banger.json("vm", "show", NAME)


def ask(port):
    """A line of the server in the guest; None: nobody there, or not yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            return int(s.makefile().readline() or 0) or None
    except OSError:
        return None


COUNTER = "i=0; while :; do i=$((i+1)); echo $i >/run/count.new; mv /run/count.new /run/count; sleep 0.1; done"


def counted(banger):
    return int(inside(banger, "cat", "/run/count"))


def serve(banger, port):
    """A process that counts by itself, and, where the image has a Python, one that is asked over the published port."""
    inside(banger, "sh", "-c", f"setsid sh -c '{COUNTER}' >/dev/null 2>&1 </dev/null &")
    wait_for(lambda: banger("vm", "exec", NAME, "--", "test", "-s", "/run/count").status == 0)


def listener(banger, port):
    """What leads to the guest's own sshd stands in where there is no Python in it."""
    if banger("vm", "exec", NAME, "--", "sh", "-c", "command -v python3").status == 0:
        banger.ok("vm", "exec", NAME, "--", "sh", "-c", f"setsid python3 -c \"{SERVER}\" >/dev/null 2>&1 </dev/null &")
        return lambda: ask(port)
    banger.ok("vm", "set", NAME, "--unpublish", str(port))
    banger.ok("vm", "set", NAME, "--publish", f"{port}:22")

    def banner():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return None

    return banner


def test_it_goes_on_where_it_stood(guest, port):
    serve(guest, port)
    answers = listener(guest, port)
    wait_for(answers)
    address, boot = record(guest)["address"], inside(guest, "cat", "/proc/sys/kernel/random/boot_id")
    for n in (1, 2):
        inside(guest, "sh", "-c", f"echo {n} >/root/f{n} && echo {n} >/f{n} && sync")
        before = counted(guest)
        guest.ok("vm", "suspend", NAME)
        vm = record(guest)
        assert vm["state"] == "suspended" and vm["pid"] is None and vm["suspended_bytes"] > 1 << 20, vm
        files = os.listdir(vm["paths"]["dir"])
        assert {"memory.img", "devices.state"} <= set(files), files
        assert "on disk" in guest.ok("vm", "list").out
        guest.ok("vm", "resume" if n == 1 else "start", NAME)
        vm = record(guest)
        assert vm["state"] == "running" and vm["ready"] and vm["resume_note"] is None and vm["address"] == address, vm
        assert inside(guest, "cat", "/proc/sys/kernel/random/boot_id") == boot
        wait_for(lambda: counted(guest) > before)
        assert inside(guest, "cat", f"/f{n}", f"/root/f{n}") == f"{n}\n{n}\n"
        assert wait_for(answers)
        assert not {"memory.img", "devices.state"} & set(os.listdir(vm["paths"]["dir"]))


def test_a_pause_holds_it(guest):
    guest.ok("vm", "pause", NAME)
    assert record(guest)["state"] == "paused"
    guest.fails(4, "is paused", "vm", "exec", NAME, "--", "true")
    guest.ok("vm", "resume", NAME)
    assert inside(guest, "echo", "back") == "back\n"


def test_the_next_daemon_has_it_suspended_and_an_adopted_one_can_be(guest):
    boot = inside(guest, "cat", "/proc/sys/kernel/random/boot_id")
    guest.ok("daemon", "restart")
    guest.ok("vm", "suspend", NAME)
    guest.ok("daemon", "restart")
    assert record(guest)["state"] == "suspended"
    guest.fails(4, "is suspended", "vm", "stop", NAME)
    guest.ok("vm", "resume", NAME)
    assert inside(guest, "cat", "/proc/sys/kernel/random/boot_id") == boot
    # A guest that was resumed can be rebooted, and is a VM as any other.
    guest.ok("vm", "exec", NAME, "--", "sh", "-c", "echo kept >/root/kept && sync")


def test_memory_that_is_damaged_is_not_used(guest):
    guest.ok("vm", "suspend", NAME)
    path = record(guest)["paths"]["dir"] + "/memory.img"
    code = f"f=open({path!r},'r+b'); b=f.read(1); f.seek(0); f.write(bytes([b[0]^1])); f.close()"
    assert as_user(["/usr/bin/python3", "-c", code]).returncode == 0
    result = guest.ok("vm", "resume", NAME)
    assert "booted from its disks" in result.err, result
    assert "digest" in record(guest)["resume_note"]
    assert inside(guest, "cat", "/root/kept") == "kept\n"
    assert subprocess.run(["pgrep", "-fc", f"banger-{record(guest)['id']}"], capture_output=True, text=True).stdout.strip() == "1"
