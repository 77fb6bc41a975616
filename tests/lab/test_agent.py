# SPDX-License-Identifier: ISC
"""The agent over Firecracker's vsock: exec, cp, ports, stats, many sessions, ssh without a network, disks that grow while
the guest runs. tests/e2e has the same over virtio-serial, case by case."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

from labhost import ASSETS, FIRECRACKER, run, until

MINUTES = 3
pytestmark = pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py")
MIB = 1 << 20
VM = "agent"


class Guest:
    def __init__(self, dev):
        self.dev = dev

    @staticmethod
    def argv(*words, flags=()):
        return ["banger", "vm", "exec", VM, *flags, "--", *words]

    def exec(self, *words, flags=(), data=b"", timeout=300):
        return self.dev.run(self.argv(*words, flags=flags), input=data, capture_output=True, timeout=timeout)

    def out(self, script):
        done = self.exec("sh", "-c", script)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def count(self, pattern):
        """Processes whose command line has the pattern, which must not match itself."""
        return int(self.out(f"grep -la '{pattern}' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"))


@pytest.fixture(scope="module")
def guest(disk_dev):
    disk_dev.banger("vm", "create", VM, "--image", "plain", "--kernel", "debian", "--memory", "256M", "--cpus", "1")
    record = disk_dev.show(VM)
    assert record["vmm"] == "firecracker" and record["ready"], record
    yield Guest(disk_dev)
    disk_dev.banger("vm", "delete", VM)


def test_streams_status_signal(guest):
    done = guest.exec("sh", "-c", "cat; echo oops >&2; exit 7", data=b"in\0put\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\0put\n", b"oops\n")
    assert guest.exec("sh", "-c", "kill -9 $$").returncode == 128 + 9
    done = guest.exec("sh", "-c", "id -un; pwd; echo \"$A\"", flags=("--user", "nobody", "--workdir", "/tmp", "--env", "A=1 2"))
    assert done.stdout == b"nobody\n/tmp\n1 2\n", done


def test_much_input_arrives_whole(guest):
    data = os.urandom(MIB) * 48
    done = guest.exec("sha256sum", data=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest(), done


def test_copied_there_and_back(guest):
    dev = guest.dev
    tree = f"{dev.home}/tree"
    dev.run(["sh", "-c", 'mkdir -p "$0/sub" && head -c 8000000 /dev/urandom >"$0/sub/big" && ln "$0/sub/big" "$0/hard" && '
             'ln -s sub/big "$0/link" && chmod 750 "$0/sub"', tree], check=True)
    dev.banger("vm", "cp", tree, f"{VM}:/root/")
    dev.banger("vm", "cp", f"{VM}:/root/tree", f"{dev.home}/back")
    run(["diff", "-r", "--no-dereference", tree, f"{dev.home}/back"])
    assert os.stat(f"{dev.home}/back/sub").st_mode & 0o7777 == 0o750


def test_ports_and_stats(guest):
    ports = json.loads(guest.dev.banger("vm", "ports", VM, "--json"))
    assert any(p["port"] == 22 and p["process"] == "sshd" for p in ports), ports
    stats = json.loads(guest.dev.banger("vm", "stats", VM, "--json"))
    assert 0 < stats["guest"]["memory_available_kib"] < stats["guest"]["memory_total_kib"], stats


def test_ten_sessions_at_once(guest):
    each = [guest.dev.popen(guest.argv("sh", "-c", f"cat; echo {i}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for i in range(10)]
    for i, process in enumerate(each):
        out, _ = process.communicate(b"x" * 100000, timeout=300)
        assert process.returncode == 0 and out == b"x" * 100000 + f"{i}\n".encode()


def test_session_killed_on_the_host_ends_in_the_guest(guest):
    process = guest.dev.popen(guest.argv("sleep", "4321"), stdin=subprocess.DEVNULL)
    until(lambda: guest.count("432[1]") == 1, "it runs in the guest", timeout=120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    until(lambda: guest.count("432[1]") == 0, "it has ended in the guest", timeout=120)


def test_disks_grow_while_the_guest_runs(guest):
    """The work disk is a file; an overlay waits until its VM is stopped, and says so."""
    def mib():
        return int(guest.out("df -BM --output=size /root | tail -1 | tr -d M"))
    before, record = mib(), guest.dev.show(VM)
    assert record["storage"] == "dm-snapshot"
    guest.out("echo kept >/root/mark; sync")
    guest.dev.banger("vm", "set", VM, "--work-size", f"{record['work_mib'] + 512}M")
    assert mib() - before > 400 and guest.out("cat /root/mark") == "kept\n"
    out = guest.dev.run(["banger", "vm", "set", VM, "--disk-size", f"{record['disk_mib'] + 512}M"], capture_output=True, text=True, timeout=120)
    assert out.returncode == 4 and "stop" in out.stderr, out


def test_a_copied_root_grows_while_the_guest_runs(guest):
    dev = guest.dev
    dev.banger("image", "register", "--name", "grows", "--rootfs", f"{ASSETS}/guest.ext4")
    dev.banger("vm", "create", "grows", "--image", "grows", "--kernel", "debian", "--memory", "256M", "--cpus", "1")
    try:
        record = dev.show("grows")
        assert (record["storage"], record["vmm"]) == ("copy", "firecracker"), record
        size = "df -BM --output=size / | tail -1 | tr -d M"
        before = int(dev.banger("vm", "exec", "grows", "--", "sh", "-c", size))
        dev.banger("vm", "set", "grows", "--disk-size", f"{record['disk_mib'] + 512}M")
        assert int(dev.banger("vm", "exec", "grows", "--", "sh", "-c", size)) - before > 400
    finally:
        dev.banger("vm", "delete", "grows")
        dev.banger("image", "delete", "grows")


def test_ssh_without_a_network(guest):
    """Through the agent, when the guest's address does not answer."""
    guest.out("ip link set eth0 down 2>/dev/null || busybox ip link set eth0 down")
    assert guest.dev.ssh(VM, "echo still here") == "still here\n"
