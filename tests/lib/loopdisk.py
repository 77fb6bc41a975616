# SPDX-License-Identifier: ISC
"""A small file system of a user's own on a loop device: to be full, over its quota, or frozen.

    with loop_disk(user, "btrfs-quota", 400) as folder: ...
"""
import contextlib
import os
import subprocess

MAKE = {"ext4": ["/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0"], "btrfs": ["mkfs.btrfs", "-q"]}


def sh(*argv):
    subprocess.run(argv, check=True, capture_output=True)


@contextlib.contextmanager
def loop_disk(user, kind, mib):
    """kind "btrfs-quota": a btrfs of four times the size, on which this user's folder may have so much."""
    image, folder = user.home + "/disk", user.home + "/mnt"
    os.makedirs(folder, exist_ok=True)
    quota = kind == "btrfs-quota"
    with open(image, "wb") as f:
        f.truncate((mib * 4 if quota else mib) << 20)
    sh(*MAKE[kind.split("-")[0]], image)
    sh("mount", "-o", "loop", image, folder)
    home = folder
    try:
        if quota:
            sh("btrfs", "quota", "enable", folder)
            home = folder + "/home"
            sh("btrfs", "subvolume", "create", home)
            sh("btrfs", "qgroup", "limit", f"{mib}M", home)
        os.chown(home, user.uid, user.gid)
        os.chmod(home, 0o700)
        yield home
    finally:
        subprocess.run(["fsfreeze", "-u", folder], capture_output=True)
        sh("umount", "-l", folder)
        os.unlink(image)


def fill(user, folder):
    """To the last byte: large pieces, then small ones, then files of a few bytes."""
    script = 'cd "$1"; i=$(ls | wc -l); for size in 1M 64k 4k 512; do i=$((i+1)); dd if=/dev/zero of=fill.$i bs=$size 2>/dev/null; done; ' \
             'for n in 1 2 3 4 5 6 7 8; do i=$((i+1)); echo x >fill.$i; done 2>/dev/null; sync -f . ; i=$((i+1)); dd if=/dev/zero of=fill.$i bs=512 2>/dev/null; true'
    user.run(["sh", "-c", script, "sh", folder], check=True, timeout=300)


@contextlib.contextmanager
def frozen(folder):
    sh("fsfreeze", "-f", folder)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", folder], capture_output=True)
