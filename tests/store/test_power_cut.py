# SPDX-License-Identifier: ISC
"""Power cuts over real file systems: a block device remembers all writes and flushes, and each moment of it is brought back."""
import hashlib
import os
import shutil
import subprocess
import time

import pytest

from blockrecorder import Recorder, Unavailable
from conftest import DAY, SHARE, Host, share_of

SIZES = {"xfs": 320 << 20}  # smaller ones it does not make
SIZE = 192 << 20
AFTER = (0, 0.5, 2, 10, 30)
KINDS = ("flushed", "torn", "all")
FILE_SYSTEMS = {"ext4": ["mkfs.ext4", "-q"], "btrfs": ["mkfs.btrfs", "-q"], "xfs": ["mkfs.xfs", "-q"]}
PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def make_file_system(kind, device):
    if not shutil.which(FILE_SYSTEMS[kind][0], path=PATH):
        pytest.skip(f"no {FILE_SYSTEMS[kind][0]} here")
    subprocess.run([*FILE_SYSTEMS[kind], device], check=True, env={"PATH": PATH}, stdout=subprocess.DEVNULL)


class Story:
    """Commands one after the other; of each: when it began, when it was acknowledged, and what there was then."""

    def __init__(self, host):
        self.host, self.said = host, []
        self.now = {"vms": {}, "images": set(), "kernels": set()}

    def copy(self):
        return {"vms": dict(self.now["vms"]), "images": set(self.now["images"]), "kernels": set(self.now["kernels"])}

    def do(self, *command, **change):
        began = time.monotonic()
        self.host.banger(*command)
        for kind, (name, value) in change.items():
            if value is None:
                self.now[kind].pop(name) if kind == "vms" else self.now[kind].discard(name)
            elif kind == "vms":
                self.now[kind][name] = value
            else:
                self.now[kind].add(name)
        self.said.append((began, time.monotonic(), " ".join(command[:2]), self.copy()))

    def tell(self):
        host, do = self.host, self.do
        do("kernel", "import", host.sources + "/vmlinux", "--name", "k", kernels=("k", True))
        do("image", "register", "--name", "r", "--rootfs", host.sources + "/rootfs.ext4", "--kernel-ref", "k", images=("r", True))
        do("image", "promote", "r")
        do("vm", "create", "a", "--image", "r", "--cpus", "1", "--memory", "128M", "--no-start", vms=("a", (1, True)))
        do("vm", "create", "b", "--image", "r", "--cpus", "1", "--memory", "128M", vms=("b", (1, True)))
        do("vm", "set", "a", "--cpus", "2", vms=("a", (2, True)))
        do("image", "export", "r", host.home + "/bundle")
        self.bundle = (self.said[-1][1], digest(host.home + "/bundle"))
        do("image", "import", host.home + "/bundle", "--name", "i", images=("i", True), kernels=("i", True))
        do("image", "pull", host.layout, "--name", "p", "--kernel-ref", "k", images=("p", True))
        do("vm", "delete", "b", vms=("b", None))
        do("image", "delete", "i", images=("i", None), kernels=("i", None))

    def may_be(self, moment):
        """The states that are right after a cut at that moment: what was acknowledged, and maybe what was under way."""
        done = [s for s in self.said if s[1] <= moment]
        states = [done[-1][3] if done else {"vms": {}, "images": set(), "kernels": set()}]
        states += [s[3] for s in self.said if s[0] <= moment < s[1]]
        return states


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Disk:
    def __init__(self, user, file_system):
        self.user, self.file_system = user, file_system
        self.mountpoint = user.home + "/disk"
        os.makedirs(self.mountpoint, exist_ok=True)
        self.home = self.mountpoint + "/home"

    def mount(self, what, *options):
        subprocess.run(["mount", *options, what, self.mountpoint], check=True)

    def unmount(self):
        subprocess.run(["umount", self.mountpoint], check=True)

    def record(self, wait):
        with Recorder(self.user.home + "/recorder", SIZES.get(self.file_system, SIZE)) as recorder:
            make_file_system(self.file_system, recorder.device)
            self.mount(recorder.device)
            os.mkdir(self.home, 0o700)
            os.chown(self.home, self.user.uid, self.user.gid)
            os.sync()
            host = Host(self.user, self.home)
            story = Story(host)
            try:
                story.tell()
                time.sleep(wait)
                story.end = time.monotonic()
                # What the registered and promoted image is made of is known by its content.
                story.rootfs = digest(host.sources + "/rootfs.ext4")
            finally:
                host.kill()
                self.unmount()
        return story, recorder


def check_bytes(host, facts, story):
    """What is listed has its bytes, not only its name."""
    for image in facts.images:
        rootfs = image["paths"]["rootfs"]
        assert image["name"] not in ("r", "i") or digest(rootfs) == story.rootfs, rootfs
        assert os.path.getsize(rootfs) == image["size_bytes"]
    for vm in facts.vms:
        with open(vm["paths"]["disk"], "rb") as disk, open(host.sources + "/rootfs.ext4", "rb") as source:
            assert disk.read(8 << 20) == source.read(), vm["paths"]["disk"]


def check_bundle(host, story, moment):
    """A file that an export made has its name when it is whole, and keeps it from then on."""
    acknowledged, sha256 = story.bundle
    there = os.path.exists(host.home + "/bundle")
    assert there or moment < acknowledged, "the exported file is gone"
    assert not there or digest(host.home + "/bundle") == sha256, "the exported file is not whole"


def check_cut(host, story, moment):
    check_bundle(host, story, moment)
    facts, right = host.facts(), story.may_be(moment)
    assert facts.names() in right, (facts.names(), right)
    check_bytes(host, facts, story)
    assert facts.unlisted() == [] and facts.store["missing"] == []


def moments(story):
    """After each acknowledgement, as far as the recording goes."""
    every = [(at + after, kind) for _, at, _, _ in story.said for after in AFTER for kind in KINDS if at + after <= story.end]
    return share_of(every, 4)


@pytest.mark.parametrize("file_system", [list(FILE_SYSTEMS)[DAY % 2]] if SHARE == 1 else list(FILE_SYSTEMS))
def test_what_was_acknowledged_survives(user, file_system):
    disk, failed, n = Disk(user, file_system), [], 0
    try:
        story, recorder = disk.record(wait=2 if SHARE == 1 else 31)
    except Unavailable as e:
        pytest.skip(f"no disk that remembers its writes: {e}")
    image = user.home + "/cut"
    for moment, kind in recorder.cuts(moments(story), image):
        last = [f"{what} +{moment - at:.2f}s" for _, at, what, _ in story.said if at <= moment][-1:]
        disk.mount(image, "-o", "loop")
        host = Host(user, disk.home)
        try:
            n += 1
            check_cut(host, story, moment)
        except AssertionError as e:
            failed.append((last, kind, str(e)[:1500]))
        finally:
            host.kill()
            disk.unmount()
    print(f"{file_system}: {n} cuts, {len(failed)} failed")
    assert n > 0 and not failed, (len(failed), failed[:5])
