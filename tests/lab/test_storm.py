# SPDX-License-Identifier: ISC
"""The host's disk runs full under VMs on overlays: who writes is paused and goes on later, who does not is not disturbed,
and no overlay is lost."""
import os
import time

import pytest

from labhost import ASSETS, SOURCE, Dev, figure, run, until

MINUTES = 5
# Two guests' first boots and half a GiB of writes: a machine that others use gives the lab a third of a processor.
pytestmark = pytest.mark.timeout(1200)
MIB = 1 << 20
RESERVE_MIB = 128
ROOM_MIB = 400   # for the storm, before it begins
STORM_MIB = 450  # what it writes


def room(state):
    fs = os.statvfs(state)
    return fs.f_bavail * fs.f_frsize // MIB


class Filler:
    """A file that leaves so much room."""

    def __init__(self, state, name, leave_mib):
        run(["sync"])
        self.path = f"{state}/{name}"
        with open(self.path, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, (room(state) - leave_mib) * MIB)

    def remove(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


@pytest.fixture(scope="module")
def state(helper_installed):
    """A file system of its own for banger's state, so small that a guest fills it."""
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)
    file = "/var/tmp/storm.fs"
    with open(file, "wb") as f:
        f.truncate(1536 * MIB)
    run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", file])
    # Past the page cache: its writes would count a second time as what the host has still to write.
    loop = run(["losetup", "--find", "--show", "--direct-io=on", file]).strip()
    with Dev("storm") as user:
        path = f"{user.home}/.local/state/banger"
        user.run(["mkdir", "-p", path], check=True)
        run(["mount", loop, path])
        run(["chown", f"{user.name}:", path])
        user.config(f'storage = "dm-snapshot"\ndisk_reserve = "{RESERVE_MIB}M"\n')
        user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
        user.own_image("guest", "plain")
        yield user, path
        user.banger("daemon", "stop")
    run(["umount", path])
    run(["losetup", "-d", loop])


def is_idle(user, name):
    """Whether a VM has written nothing for some seconds: what its first boot writes would count as its own storm."""
    def written():
        with open(f"/proc/{user.show(name)['pid']}/io") as f:
            return next(line for line in f if line.startswith("write_bytes"))
    before = written()
    time.sleep(4)
    return written() == before


@pytest.fixture(scope="module")
def vms(state):
    user, _ = state
    for name in ("storm", "calm"):
        user.banger("vm", "create", name, "--image", "plain", "--kernel", "debian", "--memory", "256M", "--cpus", "1",
                    "--disk-size", "1G")
    user.ssh("calm", "head -c 8M /dev/urandom >/kept; md5sum /kept >/kept.sum; sync")
    until(lambda: is_idle(user, "calm"), "the calm guest is calm", timeout=400)
    yield user
    for name in ("storm", "calm"):
        user.banger("vm", "delete", name)


def check_calm(user):
    # A lab that is starved does not even answer ARP in time: asked again.
    look = "echo 3 >/proc/sys/vm/drop_caches; date >>/log && sync && md5sum -c /kept.sum"
    until(lambda: user.in_guest("calm", look) == "/kept: OK\n", "the calm guest's file is whole", timeout=240, every=1)
    record = user.show("calm")
    assert not record["paused"] and record["error"] is None, record


def check_overlays(user):
    status = "".join(line for line in run(["dmsetup", "status"]).splitlines(True) if line.startswith(f"banger-{user.uid}-"))
    assert status.count(" snapshot ") == 2 and "Invalid" not in status and "Overflow" not in status, status


def test_storm_in_one_guest(state, vms):
    _, path = state
    filler = Filler(path, "filler", ROOM_MIB)
    try:
        vms.ssh("storm", f"nohup sh -c 'yes storm | dd of=/storm bs=1M count={STORM_MIB} iflag=fullblock conv=fsync "
                         "&& md5sum /storm >/storm.sum && sync && touch /storm.done' >/dev/null 2>&1 </dev/null &")
        until(lambda: vms.show("storm")["paused"], "the storm is paused", timeout=500)
        record = vms.show("storm")
        assert record["state"] == "running" and record["error"]["code"] == "disk.full", record
        assert "is paused" in record["error"]["message"] and "goes on by itself" in record["error"]["hint"]
        run(["sync"])
        figure(f"write storm: {room(path)} MiB are left where {RESERVE_MIB} are kept back")
        assert room(path) > RESERVE_MIB // 4
        check_overlays(vms)
        check_calm(vms)
        # Then the host itself takes the rest: now all of them are.
        more = Filler(path, "more", RESERVE_MIB // 4)
        try:
            until(lambda: vms.show("calm")["paused"], "the calm one is paused too")
            assert vms.show("storm")["paused"]
            check_overlays(vms)
        finally:
            more.remove()
    finally:
        filler.remove()
    until(lambda: not any(vms.show(name)["paused"] for name in ("storm", "calm")), "both go on")
    assert all(vms.show(name)["error"] is None for name in ("storm", "calm"))
    check_calm(vms)


def test_storm_ends_well(vms):
    until(lambda: vms.run(["banger", "vm", "ssh", "storm", "--", "test -e /storm.done"], timeout=500).returncode == 0,
          "the storm's end", timeout=500, every=1)
    assert vms.ssh("storm", "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /storm.sum") == "/storm: OK\n"
    check_overlays(vms)
    for name in ("storm", "calm"):
        assert vms.ssh(name, "dmesg | grep -cE 'I/O error|EXT4-fs error' || true") == "0\n"
    assert not any(word in run(["dmesg"]) for word in ("Invalidating snapshot", "I/O error"))
