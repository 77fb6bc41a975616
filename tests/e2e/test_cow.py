# SPDX-License-Identifier: ISC
"""Root disks that the guest joins out of the image and a file of the VM's own (storage guest-cow): what they take on the host,
that they hold what was written, grow, are adopted, and become images."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

from conftest import as_user, wait_for

VM, IMAGE = "t-cow", "t-cow-image"
MANY = 20


@pytest.fixture(scope="module")
def cow(banger):
    driver = banger.json("daemon", "status")["storage"]["driver"]
    if driver != "guest-cow":
        pytest.skip(f"storage is {driver} here")
    yield banger
    for name in [VM, *(f"{VM}{i}" for i in range(MANY))]:
        banger("vm", "delete", "--force", name)
    banger("image", "delete", IMAGE)


def taken(folder):
    return sum(os.lstat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(folder) for name in names)


def test_twenty_take_less_than_a_mebibyte_each(cow):
    names = [f"{VM}{i}" for i in range(MANY)]
    for name in names:
        cow("vm", "delete", "--force", name)
        cow.ok("vm", "create", name, "--no-start")
    records = [cow.json("vm", "show", name) for name in names]
    assert {r["storage"] for r in records} == {"guest-cow"}, records[0]
    sizes = [taken(r["paths"]["dir"]) for r in records]
    assert max(sizes) < 1 << 20, sizes
    for name in names:
        cow.ok("vm", "delete", name)
    assert not [r["paths"]["dir"] for r in records if os.path.exists(r["paths"]["dir"])]


def digest_in(rootfs, path):
    """Of a file in an image, read without mounting it."""
    done = subprocess.run(["debugfs", "-R", f"cat {path}", rootfs], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return hashlib.sha256(done.stdout).hexdigest()


def commit(banger):
    """An image of the VM's disks; no command does that alone."""
    socket = banger.ok("daemon", "socket").out.strip()
    done = as_user(["curl", "-sS", "--unix-socket", socket, "-H", "Content-Type: application/json", "-d", json.dumps({"name": IMAGE, "vm": VM}),
                    "http://banger/v1/images/commit"], capture_output=True, text=True)
    assert done.returncode == 0 and "operation" in done.stdout, done
    wait_for(lambda: banger("image", "show", IMAGE).status == 0)


def goes_back(ssh, own):
    """What the guest deletes on / is the host's again; it is trimmed by the agent."""
    before = os.stat(own).st_blocks * 512
    ssh("cat /big >/gone; sync")
    assert os.stat(own).st_blocks * 512 > before + (80 << 20)
    ssh("rm /gone; sync")
    wait_for(lambda: os.stat(own).st_blocks * 512 < before + (40 << 20))


def test_it_holds_what_was_written(cow):
    """One guest: writes over the image's blocks and behind them, grows, gives back what it deletes, outlives its daemon, starts again,
    becomes an image: dm-snapshot takes a discard that is not of whole chunks for whole ones, which only a start after it shows."""
    cow("vm", "delete", "--force", VM)
    cow.ok("vm", "create", VM, "--disk-size", "2G")
    record = cow.json("vm", "show", VM)
    assert record["storage"] == "guest-cow" and record["storage_reason"].startswith("guest-cow: "), record
    assert taken(record["paths"]["dir"]) < 64 << 20

    def ssh(command):
        return cow.ok("vm", "ssh", VM, "--", command).out

    # Over what the image has, in place; and more than the image has free.
    assert ssh("findmnt -no SOURCE,FSTYPE /").split()[1] == "ext4"
    sums = ssh("echo changed >>/etc/services; head -c 100M /dev/urandom >/big; sync; sha256sum /etc/services /big").split()
    size = int(ssh("df -BM --output=size / | tail -1 | tr -d M"))
    assert 1800 < size <= 2048
    cow.ok("vm", "set", VM, "--disk-size", "3G")
    assert int(ssh("df -BM --output=size / | tail -1 | tr -d M")) - size > 900

    assert ssh("cat /sys/block/dm-0/queue/discard_max_bytes") != "0\n"
    goes_back(ssh, record["paths"]["disk"])

    status = cow.json("daemon", "status")
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: cow.json("vm", "show", VM)["ready"], 60)
    assert cow.json("vm", "show", VM)["pid"] == record["pid"]
    assert ssh("sha256sum /etc/services /big").split() == sums

    cow.ok("vm", "restart", VM)
    assert ssh("sha256sum /etc/services /big").split() == sums
    cow.fails(4, "is used by", "image", "delete", record["image"])
    cow.ok("vm", "stop", VM)
    cow("image", "delete", IMAGE)
    commit(cow)
    image = cow.json("image", "show", IMAGE)
    assert image["size_bytes"] == 3 << 30
    rootfs = image["paths"]["rootfs"]
    check = subprocess.run(["e2fsck", "-fn", rootfs], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    assert [digest_in(rootfs, "/etc/services"), digest_in(rootfs, "/big")] == sums[::2]
    cow.ok("vm", "delete", VM)
    assert not os.path.exists(record["paths"]["dir"])
