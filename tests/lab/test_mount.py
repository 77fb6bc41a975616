# SPDX-License-Identifier: ISC
"""MOUNT: off unless root says so; what it gives out is read-only, nowhere in a mount tree, and stays nodev and nosuid in the hands
of a user who is root of a user namespace."""
import ctypes
import errno
import os
import shutil
import socket

import pytest

from disklab import Files, loops, place
from labhost import SOURCE, run, until
from privclient import DISK_HELPER, FAILED, FILE, MOUNT_OFF, SIZE, SLOT_LIMIT, Helper, Refused

CONF = "/etc/banger/privhelper.conf"
LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, F_EMPTY_PATH = 0x20000, 0x10000000, 4
SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 429, 442
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8


@pytest.fixture(scope="module")
def disk_installed(helper_installed):
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)


@pytest.fixture
def user(member, disk_installed):
    yield member
    until(lambda: not loops(member), "the end of the last loop", 10)
    shutil.rmtree(place(member))


@pytest.fixture
def turned_on():
    with open(CONF) as f:
        old = f.read()
    with open(CONF, "w") as f:
        f.write("mount = yes\n")
    yield
    with open(CONF, "w") as f:
        f.write(old)


@pytest.fixture
def image(user):
    """An ext4 with a text, a setuid program and a device node (1:5, zeros) that anybody may read."""
    tree, path = place(user) + "/tree", place(user) + "/image"
    os.mkdir(tree)
    with open(tree + "/text", "w") as f:
        f.write("words\n")
    shutil.copy("/bin/true", tree + "/true")
    os.chmod(tree + "/true", 0o4755)
    os.mknod(tree + "/zero", 0o020666, os.makedev(1, 5))
    os.chmod(tree + "/zero", 0o666)
    run(["mkfs.ext4", "-q", "-e", "panic", "-d", tree, path, "16M"])
    os.chown(path, user.uid, user.gid)
    return path


def ask(user, path, flags=os.O_RDONLY):
    """The mount as a descriptor."""
    fd = os.open(path, flags)
    try:
        with Helper(user, helper=DISK_HELPER) as h:
            h.hello()
            return h.mount(fd)
    finally:
        os.close(fd)


def refused(user, path, flags=os.O_RDONLY):
    with pytest.raises(Refused) as e:
        ask(user, path, flags)
    return e.value.code


def as_the_user(user, what):
    """what() in a process of the user; the text that it gives."""
    a, b = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            user.become()
            LIBC.prctl(4, 1, 0, 0, 0)  # dumpable again: its own /proc files
            b.send(str(what()).encode())
        except BaseException as e:  # the parent's assertion shows it
            b.send(repr(e).encode())
        finally:
            os._exit(0)
    b.close()
    os.waitpid(pid, 0)
    return a.recv(4096).decode()


def attempt(function, *args):
    """The errno of a call that fails, 0 of one that does not."""
    return ctypes.get_errno() if function(*args) < 0 else 0


def open_errno(path, dir_fd=None):
    try:
        os.close(os.open(path, os.O_RDONLY, dir_fd=dir_fd))
        return 0
    except OSError as e:
        return e.errno


def test_off_by_default(user, image):
    assert refused(user, image) == MOUNT_OFF


def test_content_and_flags(user, turned_on, image):
    nodes = os.listdir("/dev/banger")
    fd = ask(user, image)
    try:
        def look():
            with open(os.open("text", os.O_RDONLY, dir_fd=fd)) as f:
                text = f.read()
            return text, open_errno("zero", fd), os.statvfs(fd).f_flag & 15
        assert as_the_user(user, look) == str(("words\n", errno.EACCES, RDONLY | NOSUID | NODEV | NOEXEC))
        with open("/proc/self/mountinfo") as f:
            assert "/dev/banger" not in f.read()
        assert os.listdir("/dev/banger") == nodes
    finally:
        os.close(fd)


def test_flags_cannot_be_cleared(user, turned_on, image):
    """Root of a user namespace attaches it in its own mount namespace: and cannot make its device nodes work."""
    fd = ask(user, image)

    def try_it():
        if LIBC.unshare(NEWUSER | NEWNS) < 0:
            return "no user namespaces"
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user.uid} 1"), ("gid_map", f"0 {user.gid} 1")):
            with open(f"/proc/self/{name}", "w") as f:
                f.write(text)
        assert LIBC.mount(b"t", b"/tmp", b"tmpfs", 0, None) == 0
        os.mkdir("/tmp/m")
        moved = attempt(LIBC.syscall, SYS_MOVE_MOUNT, fd, b"", -100, b"/tmp/m", F_EMPTY_PATH)
        got = []
        for clear in (NODEV, NOSUID, NOEXEC, RDONLY):
            attr = (ctypes.c_uint64 * 4)(0, clear, 0, 0)
            got.append(attempt(LIBC.syscall, SYS_MOUNT_SETATTR, -100, b"/tmp/m", 0, attr, 32))
        return moved, got, open_errno("/tmp/m/zero")

    try:
        assert as_the_user(user, try_it) == str((0, [errno.EPERM] * 4, errno.EACCES))
    finally:
        os.close(fd)


def test_it_stays_as_long_as_its_descriptor(user, turned_on, image):
    fd = ask(user, image)
    assert len(loops(user)) == 1
    os.close(fd)
    until(lambda: not loops(user), "the loop's end", 10)


def test_what_it_refuses(user, outsider, turned_on, image):
    assert refused(user, image, os.O_RDWR) == FILE
    os.chown(image, outsider.uid, outsider.gid)
    assert refused(user, image) == FILE
    os.chown(image, user.uid, user.gid)
    os.link(image, image + "2")
    assert refused(user, image) == FILE
    os.unlink(image + "2")
    with open(image, "r+b") as f:
        f.truncate(16 * 1024 * 1024 - 100)
    assert refused(user, image) == SIZE
    assert refused(user, Files(user, base_mib=8, disk_mib=8).base) == FAILED
    assert not loops(user)


def test_as_many_as_slots(user, turned_on, image):
    with open(CONF, "a") as f:
        f.write("slots_per_user = 2\n")
    fd = os.open(image, os.O_RDONLY)
    got = []
    with Helper(user, helper=DISK_HELPER) as h:
        h.hello()
        got = [h.mount(fd), h.mount(fd)]
        with pytest.raises(Refused) as e:
            h.mount(fd)
    assert e.value.code == SLOT_LIMIT
    for each in got + [fd]:
        os.close(each)
