# SPDX-License-Identifier: ISC
"""VMs on dm-snapshot, as a member has them: ext4 under banger's state and the disk helper installed."""
import json
import os
import time

import pytest

from disklab import devices, nodes, rows
from labhost import ASSETS, SOURCE, Dev, run, until

BOOT_S = 180
MIB = 1 << 20


@pytest.fixture(scope="module")
def dev(helper_installed):
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)
    with Dev("overlay") as user:
        banger(user, "kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
        banger(user, "image", "register", "--name", "plain", "--rootfs", f"{ASSETS}/guest.ext4")
        yield user


def banger(user, *args, status=0):
    out = user.run(["banger", *args], timeout=BOOT_S, capture_output=True, text=True)
    assert out.returncode == status, f"banger {args}: status {out.returncode}\n{out.stdout}\n{out.stderr}"
    return out.stdout


def show(user, name):
    return json.loads(banger(user, "vm", "show", name, "--json"))


def create(user, name, *more):
    banger(user, "vm", "create", name, "--image", "plain", "--kernel", "debian", "--memory", "384M", "--vcpu", "1", *more)


def ssh(user, name, command):
    return banger(user, "vm", "ssh", name, "--", command)


def clean(user):
    return not (rows(user.uid) or devices(user.uid) or nodes(user.uid))


@pytest.fixture
def vm(dev):
    create(dev, "web", "--disk-size", "1G")
    yield "web"
    banger(dev, "vm", "delete", "web")
    until(lambda: clean(dev), "no disk left")


def test_vm_on_an_overlay(dev, vm):
    record = show(dev, vm)
    assert record["storage"] == "dm-snapshot" and "image" in record["storage_reason"], record
    assert len(nodes(dev.uid)) == len(devices(dev.uid)) == 1
    overlay = record["paths"]["disk"]
    assert os.stat(overlay).st_blocks * 512 < 64 * MIB
    # It grew over the border of image and tail, and keeps what is written over stop and start.
    assert int(ssh(dev, vm, "df -BM --output=size / | tail -1").strip()[:-1]) > 850
    ssh(dev, vm, "echo kept > /etc/kept; dd if=/dev/urandom of=/big bs=1M count=200 2>/dev/null; sync; md5sum /big > /big.sum; sync")
    banger(dev, "vm", "stop", vm)
    until(lambda: clean(dev), "the disk of a stopped VM is gone")
    banger(dev, "vm", "start", vm)
    assert ssh(dev, vm, "cat /etc/kept; md5sum -c /big.sum") == "kept\n/big: OK\n"
    banger(dev, "image", "delete", "plain", status=5)


def test_daemon_killed_while_it_runs(dev, vm):
    status = json.loads(banger(dev, "daemon", "status", "--json"))
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, 9)
    assert ssh(dev, vm, "echo here") == "here\n"
    assert len(devices(dev.uid)) == 1
    banger(dev, "vm", "restart", vm)
    assert ssh(dev, vm, "echo here") == "here\n"


def test_vmm_killed(dev, vm):
    os.kill(show(dev, vm)["pid"], 9)
    until(lambda: show(dev, vm)["state"] == "stopped" and clean(dev), "a killed VM has no disk left")
    banger(dev, "vm", "start", vm)
    assert ssh(dev, vm, "echo here") == "here\n"


def test_new_vm_costs_nothing(dev):
    """20 VMs from one image: under 1 MiB each before they write, next to the work disk's seed."""
    begin = time.monotonic()
    for i in range(20):
        create(dev, f"many{i}", "--no-start")
    print(f"{(time.monotonic() - begin) / 20 * 1000:.0f} ms a VM")
    for i in range(20):
        record = show(dev, f"many{i}")
        assert record["storage"] == "dm-snapshot"
        assert os.stat(record["paths"]["disk"]).st_blocks * 512 < MIB // 2
    for i in range(20):
        banger(dev, "vm", "delete", f"many{i}")


def test_paused_before_the_disk_is_full(dev, vm):
    """A file on the host takes the room: the VM is paused, says so, and goes on when the file is gone."""
    state = os.path.dirname(os.path.dirname(os.path.dirname(show(dev, vm)["paths"]["disk"])))
    fs = os.statvfs(state)
    filler = os.path.join(state, "filler")
    with open(filler, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, fs.f_bavail * fs.f_frsize - 300 * MIB)
    try:
        until(lambda: show(dev, vm)["paused"], "paused")
        record = show(dev, vm)
        assert record["state"] == "running" and record["error"]["code"] == "disk.full", record
        assert "is paused" in record["error"]["message"] and "goes on by itself" in record["error"]["hint"]
    finally:
        os.unlink(filler)
    until(lambda: not show(dev, vm)["paused"], "goes on")
    assert show(dev, vm)["error"] is None
    assert ssh(dev, vm, "echo here") == "here\n"
