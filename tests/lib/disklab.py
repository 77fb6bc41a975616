# SPDX-License-Identifier: ISC
"""Disks for the tests of the disk helper: files that make one, what the machine holds of a user's."""
import glob
import hashlib
import itertools
import os
import time

MIB = 1 << 20
CHUNK = 4096
_numbers = itertools.count()


def store_size(base):
    """common/disk_layout.h, written again."""
    chunks = base // CHUNK
    store = (1 + chunks + chunks // 256 + 4) * CHUNK
    return (store + MIB - 1) // MIB * MIB


def overlay_size(base, disk):
    return store_size(base) + disk - base


def place(user):
    """Where a user's files are: /tmp, where homes of tests are, may be a tmpfs, of which no disk is made."""
    path = f"/var/tmp/{user.name}-disks"
    if not os.path.exists(path):
        os.makedirs(path)
        os.chown(path, user.uid, user.gid)
    return path


class Files:
    """A base with known content and an empty overlay."""

    def __init__(self, user, base_mib, disk_mib, share=None, folder="", name=None):
        number = next(_numbers)
        home = place(user)
        where = os.path.join(home, folder)
        for depth in range(1, len(folder.split("/")) + 1 if folder else 1):
            part = os.path.join(home, *folder.split("/")[:depth])
            os.makedirs(part, exist_ok=True)
            os.chown(part, user.uid, user.gid)
        self.base = os.path.join(where, name or f"base-{share or number}")
        self.overlay = os.path.join(where, f"overlay-{number}")
        if not os.path.exists(self.base):
            with open(self.base, "wb") as f:
                for at in range(0, base_mib * MIB, MIB):
                    f.write(self.content(at, MIB))
        self.sum = self._sum()
        with open(self.overlay, "wb") as f:
            f.truncate(overlay_size(base_mib * MIB, disk_mib * MIB))
        for path in (self.base, self.overlay):
            os.chown(path, user.uid, user.gid)

    @staticmethod
    def content(at, length):
        """Each 4 KiB says where it is."""
        return b"".join(i.to_bytes(8, "little") * 512 for i in range(at // CHUNK, (at + length) // CHUNK))

    def _sum(self):
        with open(self.base, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def base_unchanged(self):
        return self._sum() == self.sum

    def open(self, base_flags=os.O_RDONLY, overlay_flags=os.O_RDWR):
        return os.open(self.base, base_flags), os.open(self.overlay, overlay_flags)

    def attach(self, helper, slot):
        fds = self.open()
        try:
            return helper.disk_attach(slot, *fds)
        finally:
            for fd in fds:
                os.close(fd)


class Disk:
    """A node that the user has opened: the descriptor comes from a process of the user."""

    def __init__(self, user, node):
        import socket
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                user.become()
                socket.send_fds(b, [b"x"], [os.open(node, os.O_RDWR | os.O_CLOEXEC)])
            finally:
                os._exit(0)
        b.close()
        _, fds, _, _ = socket.recv_fds(a, 1, 1)
        os.waitpid(pid, 0)
        a.close()
        assert fds, f"the user cannot open {node}"
        self.fd = fds[0]

    def read(self, at, length):
        return os.pread(self.fd, length, at)

    def write(self, at, data):
        while data:
            n = os.pwrite(self.fd, data, at)
            at, data = at + n, data[n:]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            os.fsync(self.fd)
        finally:
            os.close(self.fd)


def rows(uid, ledger="/var/lib/banger/disk.ledger"):
    """Slots with a row in the ledger."""
    with open(ledger, "rb") as f:
        data = f.read()
    used = []
    for i in range(len(data) // 8192):
        if int.from_bytes(data[i * 8192 + 4:i * 8192 + 8], "little") == uid:
            block = data[i * 8192 + 4096:i * 8192 + 8192]
            used += [s for s in range(64) if any(block[s * 64:s * 64 + 64])]
    return used


def _lines(pattern):
    """{device: the first line of its file in sysfs}: no process, since the kill tests ask hundreds of times."""
    found = {}
    for path in glob.glob(pattern):
        try:
            with open(path) as f:
                found[path.split("/")[3]] = f.read().strip()
        except OSError:
            pass  # gone meanwhile, or an idle loop
    return found


def devices(uid):
    return [uuid for uuid in _lines("/sys/block/dm-*/dm/uuid").values() if uuid.startswith(f"BANGER-{uid}-")]


def loops(user):
    return [f"{dev} {file}" for dev, file in _lines("/sys/block/loop*/loop/backing_file").items() if place(user) in file]


def nodes(uid):
    return [n for n in os.listdir("/dev/banger") if n.startswith(f"{uid}-")]


def leftovers(user):
    found = {"rows": rows(user.uid), "devices": devices(user.uid), "loops": loops(user), "nodes": nodes(user.uid)}
    return {k: v for k, v in found.items() if v}


def until_clean(user, where=""):
    """udev may hold a loop for a moment after its last user."""
    end = time.monotonic() + 10
    while True:
        left = leftovers(user)
        if not left:
            return
        assert time.monotonic() < end, f"{where}: left behind: {left}"
        time.sleep(0.02)
