# SPDX-License-Identifier: ISC
"""VMs on dm-snapshot, as a member has them: ext4 under banger's state and the disk helper installed."""
import json
import os
import time

import pytest

from disklab import devices, nodes, rows
from labhost import ASSETS, until

MINUTES = 3
BOOT_S = 180
MIB = 1 << 20


@pytest.fixture(scope="module")
def dev(disk_dev):
    return disk_dev


def create(user, name, *more):
    user.banger("vm", "create", name, "--image", "plain", "--kernel", "debian", "--memory", "384M", "--cpus", "1", *more)


def clean(user):
    return not (rows(user.uid) or devices(user.uid) or nodes(user.uid))


@pytest.fixture(scope="module")
def vm(dev):
    create(dev, "web", "--disk-size", "1G")
    yield "web"
    dev.banger("vm", "delete", "web")
    until(lambda: clean(dev), "no disk left")


def test_vm_on_an_overlay(dev, vm):
    record = dev.show(vm)
    assert record["storage"] == "dm-snapshot" and "image" in record["storage_reason"], record
    assert len(nodes(dev.uid)) == len(devices(dev.uid)) == 1
    overlay = record["paths"]["disk"]
    assert os.stat(overlay).st_blocks * 512 < 64 * MIB
    assert "initrd" not in os.listdir(record["paths"]["dir"])
    # It grew over the border of image and tail, and keeps what is written over stop and start.
    assert int(dev.ssh(vm, "df -BM --output=size / | tail -1").strip()[:-1]) > 850
    dev.ssh(vm, "echo kept > /etc/kept; dd if=/dev/urandom of=/big bs=1M count=96 2>/dev/null; sync; md5sum /big > /big.sum; sync")
    dev.banger("vm", "stop", vm)
    until(lambda: clean(dev), "the disk of a stopped VM is gone")
    dev.banger("vm", "start", vm)
    assert dev.ssh(vm, "cat /etc/kept; md5sum -c /big.sum") == "kept\n/big: OK\n"
    dev.banger("image", "delete", "plain", status=4)


def test_image_of_another_is_copied(dev):
    """No overlay lies over a file that is not the user's: such a VM says so, and works all the same."""
    dev.banger("image", "register", "--name", "roots", "--rootfs", f"{ASSETS}/guest.ext4")
    dev.banger("vm", "create", "copied", "--image", "roots", "--kernel", "debian", "--no-start")
    record = dev.show("copied")
    assert record["storage"] == "copy" and record["storage_reason"].startswith("copy: "), record
    dev.banger("vm", "delete", "copied")


def test_image_written_to_under_an_overlay(dev):
    image = f"{dev.home}/plain.ext4"
    old = os.stat(image)
    create(dev, "under", "--no-start")
    try:
        os.utime(image, (old.st_atime, time.time() + 60))
        out = dev.run(["banger", "vm", "start", "under"], timeout=BOOT_S, capture_output=True, text=True)
        assert out.returncode != 0 and "was written to after VM" in out.stderr, out.stderr
        record = dev.show("under")
        assert record["state"] == "stopped" and record["address"] is None
    finally:
        os.utime(image, (old.st_atime, old.st_mtime))
        dev.banger("vm", "delete", "under")


def test_daemon_killed_while_it_runs(dev, vm):
    status = json.loads(dev.banger("daemon", "status", "--json"))
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, 9)
    until(lambda: dev.show(vm)["ready"], "the agent answers the next daemon", timeout=240)
    assert dev.ssh(vm, "echo here") == "here\n"
    assert len(devices(dev.uid)) == 1
    dev.banger("vm", "restart", vm)
    assert dev.ssh(vm, "echo here") == "here\n"


def test_vmm_killed(dev, vm):
    os.kill(dev.show(vm)["pid"], 9)
    until(lambda: dev.show(vm)["state"] == "stopped" and clean(dev), "a killed VM has no disk left")
    dev.banger("vm", "start", vm)
    assert dev.ssh(vm, "echo here") == "here\n"
