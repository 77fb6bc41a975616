# SPDX-License-Identifier: ISC
"""A disk that remembers each of its writes and flushes, so that a power cut can be played at any moment of its life.

The kernel's own FUSE protocol (linux/fuse.h) for a file system of one file; a loop device lies over that file, and any file system
over the loop device. Root only.

    with Recorder(folder, size) as disk:      # disk.device is /dev/loopN
        subprocess.run(["mkfs.ext4", disk.device])
        ...
    for image in disk.cuts([(moment, "flushed"), (moment, "all")]): ...
"""
import collections
import ctypes
import mmap
import os
import random
import struct
import subprocess
import threading
import time

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT = 1, 2, 3, 4, 14, 15, 16, 17, 18, 20, 25, 26
OPENDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 27, 29, 36, 38, 42
ENOSYS, ENOENT = 38, 2
ASYNC_READ, BIG_WRITES, ASYNC_DIO, MAX_PAGES = 1, 1 << 5, 1 << 15, 1 << 22
DIRECT_IO = 1
FILE, MAX_WRITE = 2, 1 << 20
BLOCK = 4096  # what a disk writes whole; ext4 does not mount with half of a superblock
HEAD = struct.Struct("<IIQQIIIHH")
IO = struct.Struct("<QQI")  # fh, offset, size

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine lends no FUSE or no loop device."""


Event = collections.namedtuple("Event", "at offset data")  # data None: a flush


class Server:
    """Answers the kernel from a thread. What is written goes to a file in memory, and to the log."""

    def __init__(self, folder, size):
        self.folder, self.size, self.log = folder, size, []
        self.memory = mmap.mmap(-1, size)
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,max_read={MAX_WRITE}".encode()
        if _libc.mount(b"recorder", folder.encode(), b"fuse", 0, options) < 0:
            raise OSError(ctypes.get_errno(), "mount a fuse file system")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def attributes(self, node):
        mode, size = (0o100600, self.size) if node == FILE else (0o40700, 0)
        return struct.pack("<6Q3I7I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, MAX_WRITE + 65536)
            except OSError:
                return  # unmounted
            _, op, unique, node, *_ = HEAD.unpack_from(request)
            if op in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            body = self.answer(op, node, memoryview(request)[HEAD.size:])
            error, data = (-body, b"") if isinstance(body, int) else (0, body)
            os.write(self.fd, struct.pack("<IiQ", 16 + len(data), error, unique) + data)

    def answer(self, op, node, body):
        if op == INIT:
            flags = ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES
            return struct.pack("<4I2H2I2HI7I", 7, 31, 1 << 20, flags, 64, 48, MAX_WRITE, 1, MAX_WRITE // 4096, 0, 0, *[0] * 7)
        if op == LOOKUP:
            found = bytes(body).rstrip(b"\0") == b"disk"
            return struct.pack("<4Q2I", FILE, 0, 3600, 3600, 0, 0) + self.attributes(FILE) if found else ENOENT
        if op in (GETATTR, SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self.attributes(node)
        if op in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO if op == OPEN else 0, 0)
        if op == READ:
            _, offset, size = IO.unpack_from(body)
            return self.memory[offset:offset + size]
        if op == WRITE:
            return self.write(body)
        if op == FSYNC:
            self.log.append(Event(time.monotonic(), 0, None))
            return b""
        if op == STATFS:
            return bytes(80)
        return b"" if op in (FLUSH, RELEASE, RELEASEDIR, DESTROY) else ENOSYS

    def write(self, body):
        _, offset, size = IO.unpack_from(body)
        data = bytes(body[40:40 + size])
        self.memory[offset:offset + size] = data
        self.log.append(Event(time.monotonic(), offset, data))
        return struct.pack("<II", size, 0)


class Recorder:
    def __init__(self, folder, size):
        self.folder, self.size, self.device = folder, size, None

    def __enter__(self):
        os.makedirs(self.folder)
        try:
            self.server = Server(self.folder, self.size)
        except OSError as e:
            raise Unavailable(f"FUSE: {e}") from e
        try:
            self.device = subprocess.run(["losetup", "--find", "--show", self.folder + "/disk"], check=True, capture_output=True,
                                         text=True).stdout.strip()
        except subprocess.CalledProcessError as e:
            self.__exit__()
            raise Unavailable(f"a loop device: {e.stderr}") from e
        return self

    def __exit__(self, *exc):
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], check=True)
        subprocess.run(["umount", "--lazy", self.folder], check=True)
        self.server.thread.join(30)
        os.close(self.server.fd)
        self.server.memory.close()
        self.log = self.server.log

    def cuts(self, moments, path):
        """
        For each (moment, kind), in the order of the moments: path as the disk was then. What came after the last flush is there
        ("all"), or not ("flushed"), or every second block of it, by chance ("torn").
        """
        safe, pending, events = bytearray(self.size), [], iter(self.log)
        event = next(events, None)
        for moment, kind in sorted(moments):
            while event and event.at <= moment:
                pending.append(event)
                if event.data is None:
                    put(safe, pending)
                    pending = []
                event = next(events, None)
            image = bytearray(safe)
            put(image, pending if kind == "all" else torn(pending, moment) if kind == "torn" else [])
            write_sparse(path, image)
            yield moment, kind


def put(image, events):
    for e in events:
        if e.data is not None:
            image[e.offset:e.offset + len(e.data)] = e.data


def torn(events, seed):
    chance = random.Random(seed)
    for e in events:
        for at in range(0, len(e.data or b""), BLOCK):
            if chance.random() < 0.5:
                yield Event(e.at, e.offset + at, e.data[at:at + BLOCK])


def write_sparse(path, image):
    """Each cut is a file of its own: one that is used again shows old blocks."""
    if os.path.exists(path):
        os.unlink(path)
    piece = 1 << 16
    zero = bytes(piece)
    with open(path, "wb") as f:
        f.truncate(len(image))
        for at in range(0, len(image), piece):
            data = image[at:at + piece]
            if data != zero:
                f.seek(at)
                f.write(data)
