# SPDX-License-Identifier: ISC
"""What somebody types in a guest: docker, reboot, poweroff; under Firecracker, and reboot and poweroff under QEMU too."""
import os
import re
import subprocess

import pytest

from labhost import ASSETS, FIRECRACKER, SOURCE, Dev, run, until

MIB = 1 << 20

needs_firecracker = pytest.mark.skipif(not os.path.exists(FIRECRACKER),
                                       reason="no Firecracker was brought in: see machine/firecracker.py")


def in_guest(user, vm, command):
    """What it printed, or None when ssh or the command failed."""
    out = user.run(["banger", "vm", "ssh", vm, "--", command], timeout=120, stdout=subprocess.PIPE,
                   stderr=subprocess.DEVNULL, text=True)
    return out.stdout if out.returncode == 0 else None


def later(user, vm, command):
    """Lets the guest go down without taking this connection along."""
    user.ssh(vm, f"nohup sh -c 'sleep 1; {command}' >/dev/null 2>&1 </dev/null &")


def boot_id(user, vm):
    return in_guest(user, vm, "cat /proc/sys/kernel/random/boot_id")


def stopped(user, vm):
    record = user.show(vm)
    return record["state"] == "stopped" and record["operation"] is None


@pytest.fixture(scope="module")
def dev(helper_installed):
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)
    with Dev("life") as user:
        user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
        user.own_image("docker", "docker")
        user.own_image("guest", "plain")
        yield user
        user.banger("daemon", "stop")


@pytest.fixture(scope="module")
def box(dev):
    """A Debian with systemd and docker, which starts it at boot."""
    dev.banger("vm", "create", "box", "--image", "docker", "--kernel", "debian", "--memory", "768M", "--vcpu", "2", "--disk-size", "2G",
               timeout=280)
    yield "box"
    dev.banger("vm", "delete", "box")


@pytest.mark.timeout(600)
def test_docker(dev, box):
    driver = until(lambda: in_guest(dev, box, "docker info --format '{{.Driver}} {{.BackingFilesystem}}' 2>/dev/null || "
                                              "docker info --format '{{.Driver}}'"), "docker is up", timeout=300, every=2)
    assert driver.split()[0] == "overlay2"
    dev.ssh(box, "tar -C / -c bin/busybox | docker import - tiny")
    assert dev.ssh(box, "docker run --rm tiny /bin/busybox echo hello from a container") == "hello from a container\n"
    # Its root is an overlay, and its network a veth on a bridge, behind the rules that docker made.
    assert re.match(r"overlay / overlay ", dev.ssh(box, "docker run --rm tiny /bin/busybox cat /proc/mounts"))
    assert "1 packets received" in dev.ssh(box, "docker run --rm tiny /bin/busybox ping -c 1 -w 20 172.17.0.1")
    dev.ssh(box, "docker run -d --name web --restart always -p 8080:80 tiny /bin/busybox httpd -f -h /bin")
    # By the guest's address: through docker's DNAT and the bridge
    dev.ssh(box, "a=$(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'); busybox wget -T 20 -qO - http://$a:8080/busybox | "
                 "cmp - /bin/busybox")


@needs_firecracker
@pytest.mark.timeout(600)
def test_reboot_typed_in_a_guest(dev, box):
    """Firecracker ends with it: the daemon starts the VM anew, with its disks, and its containers come back."""
    old, record = boot_id(dev, box), dev.show(box)
    assert record["vmm"] == "firecracker"
    later(dev, box, "reboot")
    until(lambda: boot_id(dev, box) not in (None, old), "it has booted again", timeout=280, every=1)
    now = dev.show(box)
    assert now["pid"] != record["pid"] and now["state"] == "running" and now["error"] is None, now
    until(lambda: in_guest(dev, box, "docker ps --format '{{.Names}}'") == "web\n", "its container is back", timeout=240, every=2)


@needs_firecracker
def test_poweroff_typed_in_a_guest(dev, box):
    later(dev, box, "poweroff")
    until(lambda: stopped(dev, box), "it is stopped", timeout=200, every=0.5)
    record = dev.show(box)
    assert record["error"] is None and record["pid"] is None, record
    assert "reboot: System halted" in dev.banger("vm", "logs", box)


@needs_firecracker
def test_image_without_init(dev):
    """banger's own init takes the signals that any init does. And its console's log stays within bounds."""
    dev.banger("vm", "create", "plain", "--image", "plain", "--kernel", "debian", "--memory", "256M", "--vcpu", "1")
    try:
        old, log = boot_id(dev, "plain"), dev.show("plain")["paths"]["serial_log"]
        line = b"a guest that says the same thing all the time\n"
        with open(log, "ab") as f:
            f.write(line * (24 * MIB // len(line)))
            os.fsync(f.fileno())
        dev.ssh("plain", "echo and goes on >/dev/console")
        until(lambda: os.stat(log).st_blocks * 512 <= 9 * MIB, "the log is cut")
        text = dev.banger("vm", "logs", "plain")
        assert len(text) < 9 * MIB and text.startswith(line.decode()) and "and goes on" in text[-200:]

        later(dev, "plain", "kill -TERM 1")
        until(lambda: boot_id(dev, "plain") not in (None, old), "it has booted again", timeout=180, every=0.5)
        later(dev, "plain", "kill -USR2 1")
        until(lambda: stopped(dev, "plain"), "it is stopped", timeout=60)
        assert dev.show("plain")["error"] is None
    finally:
        dev.banger("vm", "delete", "plain")


def test_under_qemu(helper_installed):
    """A reboot happens in place, in the same process; a power-off ends it."""
    with Dev("life2") as user:
        user.config('vmm = "qemu"\n')
        user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
        user.own_image("guest", "plain")
        user.banger("vm", "create", "plain", "--image", "plain", "--kernel", "debian", "--memory", "256M", "--vcpu", "1")
        old, record = boot_id(user, "plain"), user.show("plain")
        assert (record["vmm"], record["accel"]) == ("qemu", "kvm")
        later(user, "plain", "kill -TERM 1")
        until(lambda: boot_id(user, "plain") not in (None, old), "it has booted again", timeout=180, every=0.5)
        assert user.show("plain")["pid"] == record["pid"]
        later(user, "plain", "kill -USR2 1")
        until(lambda: stopped(user, "plain"), "it is stopped", timeout=60)
        assert user.show("plain")["error"] is None
        user.banger("vm", "delete", "plain")
        user.banger("daemon", "stop")
