# SPDX-License-Identifier: ISC
"""What somebody types in a guest, under what `auto` takes: docker, reboot, poweroff. test_banger.py has the latter for QEMU."""
import os
import re

import pytest

from labhost import FIRECRACKER, until

MINUTES = 6
MIB = 1 << 20

needs_firecracker = pytest.mark.skipif(not os.path.exists(FIRECRACKER),
                                       reason="no Firecracker was brought in: see machine/firecracker.py")


@pytest.fixture(scope="module")
def dev(disk_dev):
    disk_dev.own_image("docker", "docker")
    return disk_dev


@pytest.fixture(scope="module")
def box(dev):
    """A Debian with systemd and docker, which starts it at boot. One processor: two in a guest crash the lab's own kernel now
    and then, in QEMU's emulation of SVM."""
    dev.banger("vm", "create", "box", "--image", "docker", "--kernel", "debian", "--memory", "768M", "--cpus", "1", "--disk-size", "2G",
           )
    yield "box"
    dev.banger("vm", "delete", "box")


@pytest.mark.timeout(1200)
def test_docker(dev, box):
    driver = until(lambda: dev.in_guest(box, "docker info --format '{{.Driver}} {{.BackingFilesystem}}' 2>/dev/null || "
                                              "docker info --format '{{.Driver}}'"), "docker is up", timeout=500, every=2)
    assert driver.split()[0] == "overlay2"
    dev.ssh(box, "tar -C / -c bin/busybox | docker import - tiny")
    assert dev.ssh(box, "docker run --rm tiny /bin/busybox echo hello from a container") == "hello from a container\n"
    # Its root is an overlay, and its network a veth on a bridge, behind the rules that docker made.
    assert re.match(r"overlay / overlay ", dev.ssh(box, "docker run --rm tiny /bin/busybox cat /proc/mounts"))
    assert "1 packets received" in dev.ssh(box, "docker run --rm tiny /bin/busybox ping -c 1 -w 20 172.17.0.1")
    dev.ssh(box, "docker run -d --name web --restart always -p 8080:80 tiny /bin/busybox httpd -f -h /bin")
    # By the guest's address, through docker's DNAT and the bridge, once the server listens. (The static busybox's wget crashes.)
    fetch = ("a=$(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'); exec 3<>/dev/tcp/$a/8080 && "
             "printf 'GET /busybox HTTP/1.0\\r\\n\\r\\n' >&3 && sed '1,/^\\r$/d' <&3 | cmp - /bin/busybox")
    until(lambda: dev.in_guest(box, fetch) is not None, "the container's server answers", timeout=240, every=1)


@needs_firecracker
@pytest.mark.timeout(1200)
def test_reboot_typed_in_a_guest(dev, box):
    """Firecracker ends with it: the daemon starts the VM anew, with its disks, and its containers come back."""
    old, record = dev.boot_id(box), dev.show(box)
    assert record["vmm"] == "firecracker"
    dev.later(box, "reboot")
    until(lambda: dev.boot_id(box) not in (None, old), "it has booted again", timeout=500, every=1)
    now = dev.show(box)
    assert now["pid"] != record["pid"] and now["state"] == "running" and now["error"] is None, now
    until(lambda: dev.in_guest(box, "docker ps --format '{{.Names}}'") == "web\n", "its container is back", timeout=500, every=2)


@needs_firecracker
def test_poweroff_typed_in_a_guest(dev, box):
    dev.later(box, "poweroff")
    until(lambda: dev.stopped(box), "it is stopped", timeout=500, every=0.5)
    record = dev.show(box)
    assert record["error"] is None and record["pid"] is None, record
    assert re.search("reboot: (System halted|Power down)", dev.banger("vm", "logs", box))


@needs_firecracker
def test_image_without_init(dev):
    """banger's own init takes the signals that any init does. And its console's log stays within bounds."""
    dev.banger("vm", "create", "plain", "--image", "plain", "--kernel", "debian", "--memory", "256M", "--cpus", "1")
    try:
        old, log = dev.boot_id("plain"), dev.show("plain")["paths"]["serial_log"]
        line = b"a guest that says the same thing all the time\n"
        with open(log, "ab") as f:
            f.write(line * (24 * MIB // len(line)))
            os.fsync(f.fileno())
        dev.ssh("plain", "echo and goes on >/dev/console")
        until(lambda: os.stat(log).st_blocks * 512 <= 17 * MIB, "the log is cut")  # which may have happened half-way
        text = dev.banger("vm", "logs", "plain")
        assert len(text) < 17 * MIB and text.startswith(line.decode()) and "and goes on" in text[-200:]

        dev.later("plain", "kill -TERM 1")
        until(lambda: dev.boot_id("plain") not in (None, old), "it has booted again", timeout=500, every=0.5)
        dev.later("plain", "kill -USR2 1")
        until(lambda: dev.stopped("plain"), "it is stopped", timeout=240)
        assert dev.show("plain")["error"] is None
    finally:
        dev.banger("vm", "delete", "plain")
