# SPDX-License-Identifier: ISC
"""Files that an import takes as kernels, for tests that boot nothing."""
import os
import struct


COW = b"discard_zeroes_cow"  # by this word a kernel with dm-snapshot is known


def write_vmlinux(path, release="6.1.0-test", size=2 << 20, words=b""):
    """An ELF file with one segment and the banner of Linux; the rest is not zero, so that it takes room. words: also in it."""
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 4096, 0xffffffff81000000, 0x1000000, size - 4096, size - 4096, 4096)
    banner = f"Linux version {release} (test@test) #1".encode() + bytes(64) + words
    data = head.ljust(4096, b"\0") + banner
    with open(path, "wb") as f:
        f.write(data + os.urandom(size - len(data)))
