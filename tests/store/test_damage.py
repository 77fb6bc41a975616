# SPDX-License-Identifier: ISC
"""Bits of the database or its log are turned, or the file is cut: the daemon starts, or says what to do, and deletes nothing. The same
against the store alone, in far greater number: tests/unit/test_store.c."""
import glob
import os
import pathlib
import random

from conftest import Host, share_of

FLIPS = 100


def damages():
    for seed in range(FLIPS):
        for end in ("", "-wal"):
            yield seed, end, None
    for eighth in range(8):
        for end in ("", "-wal"):
            yield eighth, end, eighth / 8


def damage(path, seed, part):
    data = bytearray(path.read_bytes())
    if part is not None:
        data = data[:int(len(data) * part) // 512 * 512]
    else:
        bit = random.Random(seed).randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def files(state):
    """All below the folders that no damage may touch; what may come and go is not looked at."""
    return sorted(os.path.join(folder, name) for kind in ("vms", "images", "kernels", "blobs") for folder, _, names in os.walk(f"{state}/{kind}")
                  for name in names)


def make(host):
    host.make_image()
    host.banger("image", "promote", "r")
    for name in ("a", "b"):
        host.banger("vm", "create", name, "--image", "r", "--memory", "128M", "--no-start")


def test_nothing_is_deleted(user):
    host = Host(user)
    make(host)
    want = host.facts().names()
    wrong = []
    for seed, end, part in share_of(damages(), 4):
        if end:
            host.kill()  # a clean end would leave an empty log
        else:
            host.banger("daemon", "stop")
        before = files(host.state)
        [path] = glob.glob(f"{host.state}/banger.*.db{end}")
        damage(pathlib.Path(path), seed, part)
        r = host.banger("vm", "list", "--quiet", ok=False)
        after = files(host.state)
        if r.returncode != 0 and "banger " not in r.stderr:
            wrong.append((seed, end, part, "does not start, and does not say what to do", r.stderr))
        if r.returncode == 0 and host.facts().names() != want:
            wrong.append((seed, end, part, host.facts().names()))
        if not set(before) <= set(after):
            wrong.append((seed, end, part, "deleted", sorted(set(before) - set(after))))
    host.kill()
    assert not wrong, (len(wrong), wrong[:5])
