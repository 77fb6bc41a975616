# SPDX-License-Identifier: ISC
"""The disk helper on a real device-mapper: what it makes, whose it is, what is left of it, and who may have it."""
import os
import shutil
import stat
import struct
import subprocess

import pytest

from disklab import MIB, Disk, Files, leftovers, overlay_size, place, rows, store_size, until_clean
from labhost import SOURCE, Dev, run, until
from privclient import (DISK_DETACH, DISK_HELPER, IN_USE, OVERLAY, SLOT_LIMIT, Ended, Helper, Refused,
                        message)

MINUTES = 2


@pytest.fixture(scope="module")
def disk_installed(helper_installed):
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)


@pytest.fixture
def user(member, disk_installed):
    yield member
    with Helper(member, helper=DISK_HELPER) as h:
        h.hello()
        h.cleanup()
    until_clean(member)
    shutil.rmtree(place(member))


@pytest.fixture
def files(user):
    """A base of 8 MiB with known content, and an overlay for a disk of 64 MiB."""
    return Files(user, base_mib=8, disk_mib=64)


def helper(user):
    h = Helper(user, helper=DISK_HELPER)
    h.hello()
    return h


def as_user(user, *argv, **kw):
    return user.run(list(argv), capture_output=True, **kw)


def test_installed_as_documented(disk_installed):
    assert "cap_sys_admin,cap_mknod=p" in run(["getcap", os.path.realpath(DISK_HELPER)]).replace("cap_mknod,cap_sys_admin", "cap_sys_admin,cap_mknod")
    assert run(["stat", "-L", "-c", "%U:%G %a", DISK_HELPER]).strip() == "root:banger-disk 2755"
    assert run(["stat", "-c", "%U:%G %a", "/dev/banger"]).strip() == "root:banger-disk 771"


def test_disk_is_the_users(user, files):
    with helper(user) as h:
        got = files.attach(h, 3)
        assert got == {"fresh": 1, "node": f"/dev/banger/{user.uid}-3"}
        st = os.stat(got["node"])
        assert stat.S_ISBLK(st.st_mode) and st.st_uid == user.uid and stat.S_IMODE(st.st_mode) == 0o600
        assert h.list() == 1 << 3
        assert int(run(["blockdev", "--getsize64", got["node"]])) == 64 * MIB
        # The base shows through, the tail is empty, and the user reads and writes both.
        with Disk(user, got["node"]) as d:
            assert d.read(0, 4096) == files.content(0, 4096)
            assert d.read(60 * MIB, 4096) == bytes(4096)
            d.write(4096, b"changed!" * 512)
            d.write(8 * MIB - 4096, b"edge" * 2048)  # over the border of base and tail
        with Disk(user, got["node"]) as d:
            assert d.read(4096, 4096) == b"changed!" * 512
            assert d.read(8 * MIB - 4096, 8192) == b"edge" * 2048
            assert d.read(0, 4096) == files.content(0, 4096)
        assert files.base_unchanged()
        assert h.disk_detach(3) == 1
        assert h.disk_detach(3) == 0
    until_clean(user)


def test_overlay_keeps_what_was_written(user, files):
    with helper(user) as h:
        for turn in range(3):
            with Disk(user, files.attach(h, 0)["node"]) as d:
                for earlier in range(turn):
                    assert d.read(earlier * MIB, 4096) == bytes([earlier + 1]) * 4096
                    assert d.read((20 + earlier) * MIB, 4096) == bytes([earlier + 1]) * 4096
                d.write(turn * MIB, bytes([turn + 1]) * 4096)
                d.write((20 + turn) * MIB, bytes([turn + 1]) * 4096)
            assert h.disk_detach(0) == 1
    assert files.base_unchanged()


def test_new_disk_costs_nothing(user):
    """20 disks over one base: before a write, less than 1 MiB each."""
    made = [Files(user, base_mib=8, disk_mib=1024, share="shared") for _ in range(20)]
    with helper(user) as h:
        for slot, f in enumerate(made):
            f.attach(h, slot)
        assert h.list() == (1 << 20) - 1
        run(["sync"])
        assert all(os.stat(f.overlay).st_blocks * 512 < MIB for f in made)
        assert h.cleanup() == (1 << 20) - 1
    until_clean(user)


def test_discard_gives_room_back(user, files):
    with helper(user) as h:
        node = files.attach(h, 0)["node"]
        with Disk(user, node) as d:
            d.write(0, b"x" * (4 * MIB))
        run(["sync"])
        full = os.stat(files.overlay).st_blocks * 512
        assert full >= 4 * MIB
        run(["blkdiscard", "--length", str(4 * MIB), node])
        until(lambda: run(["sync"]) is not None and os.stat(files.overlay).st_blocks * 512 < full - 3 * MIB, "room given back")


def test_it_stays_when_the_helper_ends(user, files):
    with helper(user) as h:
        node = files.attach(h, 9)["node"]
    assert os.path.exists(node)
    with helper(user) as h:
        assert h.list() == 1 << 9


def test_in_use_is_refused(user, files):
    with helper(user) as h:
        node = files.attach(h, 1)["node"]
        with Disk(user, node) as d:
            with pytest.raises(Refused) as e:
                h.disk_detach(1)
            assert e.value.code == IN_USE
            with pytest.raises(Refused) as e:
                Files(user, base_mib=8, disk_mib=16).attach(h, 1)
            assert e.value.code == IN_USE
            assert d.read(0, 4096) == files.content(0, 4096)
            assert h.list() == 2
        assert h.disk_detach(1) == 1


def test_attach_again_takes_the_new_files(user, files):
    other = Files(user, base_mib=8, disk_mib=32)
    with helper(user) as h:
        files.attach(h, 0)
        assert other.attach(h, 0)["fresh"] == 0
        assert int(run(["blockdev", "--getsize64", f"/dev/banger/{user.uid}-0"])) == 32 * MIB


def test_no_tail(user):
    f = Files(user, base_mib=8, disk_mib=8)
    with helper(user) as h:
        assert int(run(["blockdev", "--getsize64", f.attach(h, 0)["node"]])) == 8 * MIB


def refused(user, base, overlay, slot=0):
    with helper(user) as h:
        with pytest.raises(Refused) as e:
            h.disk_attach(slot, base, overlay)
        assert h.list() == 0
    until_clean(user)
    return e.value.code


def test_slot_limit_is_not_the_callers(user, files):
    with open("/etc/banger/privhelper.conf") as f:
        old = f.read()
    try:
        with open("/etc/banger/privhelper.conf", "w") as f:
            f.write("slots_per_user = 2\n")
        assert refused(user, *files.open(), slot=2) == SLOT_LIMIT
    finally:
        with open("/etc/banger/privhelper.conf", "w") as f:
            f.write(old)


def test_header_of_another_kind(user, files):
    """A chunk size of its own would have the kernel take memory of that size."""
    for header in (b"SnAp" + struct.pack("<III", 1, 1, 1 << 20), b"SnAp" + struct.pack("<III", 0, 1, 8),
                   b"SnAp" + struct.pack("<III", 1, 2, 8), b"else" + bytes(12)):
        with open(files.overlay, "r+b") as f:
            f.write(header)
        assert refused(user, *files.open()) == OVERLAY


def test_hostile_exceptions(user, files):
    """A store that maps chunks to places beyond its end: errors for its user, nothing for the host."""
    with open(files.overlay, "r+b") as f:
        f.write(b"SnAp" + struct.pack("<III", 1, 1, 8))
        f.seek(4096)
        f.write(b"".join(struct.pack("<QQ", i, (1 << 62) + i) for i in range(255)))
    with helper(user) as h:
        try:
            node = files.attach(h, 0)["node"]
        except Refused:
            node = None
        if node:
            as_user(user, "dd", f"if={node}", "of=/dev/null", "bs=4096", "count=16")
            h.disk_detach(0)
    until_clean(user)
    assert not any(word in run(["dmesg"]) for word in ("BUG:", "Oops", "general protection"))


def test_nobody_else_opens_it(user, outsider, files):
    with helper(user) as h:
        node = files.attach(h, 0)["node"]
        assert as_user(outsider, "dd", f"if={node}", "of=/dev/null", "count=1").returncode != 0
        # No user keeps a node by another name: its number may be another user's disk later.
        for argv in (["ln", node, f"/dev/banger/{user.uid}-kept"], ["ln", node, "/dev/shm/kept"], ["touch", "/dev/banger/x"],
                     ["mv", node, "/dev/banger/y"], ["ls", "/dev/banger"]):
            assert as_user(user, *argv).returncode != 0


def test_loops_are_not_the_users(user, files):
    with helper(user) as h:
        files.attach(h, 0)
        for line in run(["losetup", "-l", "-n", "-O", "NAME"]).split():
            assert as_user(user, "dd", f"if={line}", "of=/dev/null", "count=1").returncode != 0


def test_udev_leaves_them_alone(user):
    """A file system inside is not looked at: no links, no type in udev's database."""
    f = Files(user, base_mib=32, disk_mib=32, folder="banger/images/x", name="root.img")
    run(["mkfs.ext4", "-q", "-F", "-L", "looked-at", f.base])
    run(["chown", user.name, f.base])
    with helper(user) as h:
        node = f.attach(h, 0)["node"]
        run(["udevadm", "settle", "--timeout=30"])
        minor = os.minor(os.stat(node).st_rdev)
        seen = run(["udevadm", "info", "--query=all", f"/sys/block/dm-{minor}"])
        assert "ID_FS_TYPE" not in seen and "looked-at" not in seen and "UDISKS_IGNORE=1" in seen
        assert not os.path.exists("/dev/disk/by-label/looked-at")


def test_not_a_verb_of_the_network_helper(member, helper_installed):
    with Helper(member) as h:
        h.hello()
        h.raw(message(DISK_DETACH, b"\0"))
        with pytest.raises(Ended):
            h.receive()


def test_net_attach_is_not_its_verb(user):
    from privclient import NET_ATTACH
    with helper(user) as h:
        h.raw(message(NET_ATTACH, b"\0"))
        with pytest.raises(Ended):
            h.receive()


def test_leftovers_sees_something(user, files):
    """The check that the other tests end with can fail."""
    with helper(user) as h:
        files.attach(h, 0)
        assert leftovers(user)
        assert overlay_size(8 * MIB, 64 * MIB) == store_size(8 * MIB) + 56 * MIB == os.stat(files.overlay).st_size


def test_uninstall(user, files):
    """A disk in use stops it; nothing of the helper stays, and the network helper does."""
    with helper(user) as h:
        node = files.attach(h, 0)["node"]
    with Disk(user, node):
        assert subprocess.run(["scripts/install-helper", "--uninstall", "--disk"], cwd=SOURCE, capture_output=True).returncode != 0
    run(["scripts/install-helper", "--uninstall", "--disk"], cwd=SOURCE)
    for path in (DISK_HELPER, "/var/lib/banger/disk.ledger", "/dev/banger", "/etc/udev/rules.d/12-banger.rules"):
        assert not os.path.lexists(path)
    assert not run(["dmsetup", "ls"]).count("banger-")
    with Helper(user) as h:
        h.hello()
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)


def test_left_for_the_reboot(disk_installed):
    with Dev("rebooted") as dev, helper(dev) as h:
        Files(dev, base_mib=8, disk_mib=16).attach(h, 4)
        assert rows(dev.uid) == [4]


@pytest.mark.boot(2)
def test_rows_of_another_boot(disk_installed):
    """The kernel has forgotten, the ledger has not: the next connection clears it, and touches nothing of this boot."""
    with Dev("rebooted") as dev:
        assert rows(dev.uid) == [4]
        with helper(dev) as h:
            assert h.list() == 0
        assert not leftovers(dev)
