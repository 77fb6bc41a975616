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
        # A copy: overlays lie over files of the user's own
        image = f"{user.home}/guest.ext4"
        run(["cp", "--sparse=always", f"{ASSETS}/guest.ext4", image])
        run(["chown", user.name, image])
        banger(user, "image", "register", "--name", "plain", "--rootfs", image)
        banger(user, "image", "register", "--name", "roots", "--rootfs", f"{ASSETS}/guest.ext4")
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


@pytest.fixture(scope="module")
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
    banger(dev, "image", "delete", "plain", status=4)


def test_image_of_another_is_copied(dev):
    """No overlay lies over a file that is not the user's: such a VM says so, and works all the same."""
    banger(dev, "vm", "create", "copied", "--image", "roots", "--kernel", "debian", "--no-start")
    record = show(dev, "copied")
    assert record["storage"] == "copy" and record["storage_reason"].startswith("copy: "), record
    banger(dev, "vm", "delete", "copied")


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


class Filler:
    """A file that leaves so much room on the file system of banger's state."""

    def __init__(self, user, vm, leave_mib):
        run(["sync"])
        state = os.path.dirname(os.path.dirname(os.path.dirname(show(user, vm)["paths"]["disk"])))
        fs = os.statvfs(state)
        self.path = os.path.join(state, "filler")
        with open(self.path, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, fs.f_bavail * fs.f_frsize - leave_mib * MIB)

    def remove(self):
        os.unlink(self.path)


def test_write_storm(dev, vm):
    """A guest writes more than the host has room for: it is paused, nothing of it is lost, and it ends its work later."""
    filler = Filler(dev, vm, 700)
    try:
        ssh(dev, vm, "nohup sh -c 'dd if=/dev/urandom of=/storm bs=1M count=400 conv=fsync && md5sum /storm >/storm.sum && sync "
                     "&& touch /storm.done' >/dev/null 2>&1 </dev/null &")
        until(lambda: show(dev, vm)["paused"], "paused", timeout=120)
        run(["sync"])
        fs = os.statvfs(os.path.dirname(filler.path))
        assert fs.f_bavail > 0
        assert "Invalid" not in run(["dmsetup", "status"])
    finally:
        filler.remove()
    until(lambda: not show(dev, vm)["paused"], "goes on")
    until(lambda: dev.run(["banger", "vm", "ssh", vm, "--", "test -e /storm.done"], timeout=BOOT_S).returncode == 0,
          "the storm's end", timeout=120, every=1)
    assert ssh(dev, vm, "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /storm.sum; rm /storm*") == "/storm: OK\n"
    assert not any(word in run(["dmesg"]) for word in ("Invalidating snapshot", "I/O error"))


def test_paused_before_the_disk_is_full(dev, vm):
    """Another on the host takes the room: the VM is paused, says so, and goes on when it is there again."""
    filler = Filler(dev, vm, 300)
    try:
        until(lambda: show(dev, vm)["paused"], "paused")
        record = show(dev, vm)
        assert record["state"] == "running" and record["error"]["code"] == "disk.full", record
        assert "is paused" in record["error"]["message"] and "goes on by itself" in record["error"]["hint"]
    finally:
        filler.remove()
    until(lambda: not show(dev, vm)["paused"], "goes on")
    assert show(dev, vm)["error"] is None
    assert ssh(dev, vm, "echo here") == "here\n"
