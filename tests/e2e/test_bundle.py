# SPDX-License-Identifier: ISC
"""An image's way to another user: exported, imported, booted; and what a crash, a cut or a wrong sum leaves, which is nothing."""
import gzip
import os
import shutil
import signal
import struct
import subprocess

import pytest

from conftest import BOOT_S, BUILD, ROOT, busybox_tree, wait_for


@pytest.fixture(scope="module")
def bundle(banger, tmp_path_factory):
    """quickstart's image with its kernel, as a file that all can read."""
    folder = tmp_path_factory.mktemp("bundle")
    os.chmod(folder, 0o777)
    for parent in (folder.parent, folder.parent.parent):
        os.chmod(parent, 0o755)
    path = str(folder / "carried.tar.zst")
    out = banger.ok("image", "export", "default", path).out
    digest = out.split("sha256 ")[1].strip()
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0] == digest
    assert os.listdir(folder) == ["carried.tar.zst"]
    banger.fails(4, "is there already", "image", "export", "default", path)
    os.chmod(path, 0o644)
    return path, digest


def left(own):
    """Names of images and kernels, their folders and files."""
    folders = [os.path.join(own.state, f) for f in ("images", "kernels", "blobs")]
    return (own.banger.json("image", "list"), own.banger.json("kernel", "list"),
            [name for f in folders if os.path.isdir(f) for name in os.listdir(f)])


def engine(own):
    return own.banger.json("daemon", "status")["pid"]


def kept(own):
    """Inode, bytes on disk and time of each file of images and kernels."""
    folder = os.path.join(own.state, "blobs")
    stats = {name: os.stat(os.path.join(folder, name)) for name in os.listdir(folder)}
    return {name: (st.st_ino, st.st_blocks * 512, st.st_mtime_ns) for name, st in stats.items()}


def test_two_exports_to_one_file(banger, tmp_path):
    """One of the two is there, whole; what somebody has beside it stays; one that is killed leaves nothing."""
    os.chmod(tmp_path, 0o777)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    path, notes = str(tmp_path / "b.bgi"), str(tmp_path / "b.bgi.part")
    with open(notes, "w", encoding="utf-8") as file:
        file.write("my notes")
    os.chmod(notes, 0o666)
    argv = [os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "image", "export", "default", path]
    two = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(*p.communicate(timeout=BOOT_S), p.returncode) for p in two]
    assert sorted(end[2] for end in ends) == [0, 4], ends
    said = [end[0] for end in ends if end[2] == 0][0]
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0] in said
    assert "is there already" in [end[1] for end in ends if end[2] == 4][0]
    assert open(notes, encoding="utf-8").read() == "my notes" and sorted(os.listdir(tmp_path)) == ["b.bgi", "b.bgi.part"]


def test_carried_to_another_user_and_booted(bundle, make_user):
    """Twice, which takes no more room; the second one boots when the first one is gone."""
    path, digest = bundle
    own = make_user("bgt-bundle")
    own.banger.fails(1, "not " + "0" * 64, "image", "import", path, "--sha256", "0" * 64)
    assert left(own) == ([], [], [])
    own.banger.ok("image", "import", path, "--sha256", digest)
    image = own.banger.json("image", "show", "carried")
    assert image["managed"] and image["owns_kernel"] and image["kernel"] == "carried" and image["modules"] > 500
    assert image["real_bytes"] < image["size_bytes"] + (80 << 20)
    own.banger.fails(4, "is used by carried", "kernel", "delete", "carried")
    once = kept(own)
    assert len(once) == 6, "root, seed, kernel, its ELF file, its modules as a cpio and as a disk"
    own.banger.ok("image", "import", bundle[0], "--name", "twin")
    twin = own.banger.json("image", "show", "twin")
    assert kept(own) == once and twin["paths"] == image["paths"] and twin["kernel"] == "twin"
    assert twin["shared_bytes"] == twin["real_bytes"]
    kernel = own.banger.json("kernel", "show", "twin")
    assert kernel["shared_bytes"] == kernel["real_bytes"] > 50 << 20
    own.banger.ok("image", "delete", "carried")
    assert kept(own) == once and [k["name"] for k in own.banger.json("kernel", "list")] == ["twin"]
    own.banger.ok("vm", "create", "there", "--image", "twin")
    assert "there" in own.banger.ok("vm", "exec", "there", "--", "hostname").out
    own.banger.ok("vm", "exec", "there", "--", "modprobe", "dummy")
    own.banger.fails(4, "is used by there", "image", "delete", "twin")
    own.banger.ok("vm", "delete", "there")
    assert kept(own) == once, "nothing of a VM got into them"
    own.banger.ok("image", "delete", "twin")
    assert left(own) == ([], [], [])


def test_a_cut_bundle_leaves_nothing(bundle, make_user):
    own = make_user("bgt-bundle-cut")
    cut = shutil.copy(bundle[0], own.user.home + "/cut.tar.zst")
    os.truncate(cut, os.path.getsize(cut) // 2)
    own.banger.fails(2, "damaged archive", "image", "import", cut)
    assert left(own) == ([], [], [])


def test_kill_9_in_an_import_leaves_nothing(bundle, make_user):
    """The daemon dies while the worker unpacks: the next one removes what there is, and the same import works."""
    own = make_user("bgt-bundle-kill")
    own.banger.ok("daemon", "start")
    argv = [os.path.join(os.environ.get("BANGER_BUILD", "build"), "cli", "banger"), "image", "import", bundle[0]]
    rootfs = os.path.join(own.state, "images/carried/rootfs.ext4")
    running = subprocess.Popen(["setpriv", "--reuid", str(own.user.uid), "--regid", str(own.user.gid), "--clear-groups",
                                *argv], env=own.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(rootfs) and os.stat(rootfs).st_blocks > 0)
    os.kill(engine(own), signal.SIGKILL)
    running.wait(BOOT_S)
    own.banger("daemon", "stop")
    assert left(own) == ([], [], [])
    own.banger.ok("image", "import", bundle[0])
    assert [i["name"] for i in left(own)[0]] == ["carried"]


def cpio(files):
    """A newc archive: name to bytes."""
    out = b""
    for name, data in [*files.items(), ("TRAILER!!!", b"")]:
        head = [1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % number for number in head) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def acpi_table():
    """An SSDT with Name(BNGR, One)."""
    table = bytearray(struct.pack("<4sIBB6s8sI4sI", b"SSDT", 42, 2, 0, b"BANGER", b"INITRD  ", 1, b"BNGR", 1) + b"\x08BNGR\x01")
    table[9] = -sum(table) % 256
    return bytes(table)


def initrd():
    """What a kernel takes from the very beginning of it, then a packed part, with files that are banger's to give."""
    return cpio({"kernel/firmware/acpi/ssdt.aml": acpi_table()}) + gzip.compress(cpio({
        "init": b"#!/bin/sh\nexit 1\n", "banger": b"", "banger/vm.conf": b"id none\n"}))


def module_tar(own, kernel):
    """A tar with the modules of quickstart's kernel, out of their disk."""
    tree = f"{own.user.home}/m/lib/modules"
    os.makedirs(tree)
    subprocess.run(["debugfs", "-R", f"rdump /{kernel['release']} {tree}", kernel["paths"]["modules_disk"]],
                   check=True, capture_output=True)
    subprocess.run(["tar", "-C", f"{own.user.home}/m", "-cf", f"{own.user.home}/modules.tar", "lib"], check=True)
    return own.user.home + "/modules.tar"


def test_registered_with_its_whole_boot_set(banger, make_user, tmp_path):
    """Kernel, modules and initrd of its own: it boots with all of them, and is promoted while it runs."""
    own = make_user("bgt-promote")
    kernel = banger.json("kernel", "show", "debian")
    rootfs = own.user.home + "/rootfs.ext4"
    busybox_tree(tmp_path / "tree")
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-d", tmp_path / "tree", rootfs, "64M"], check=True)
    os.chown(rootfs, own.user.uid, own.user.gid)
    own.banger.ok("image", "register", "--name", "mine", "--rootfs", rootfs, "--kernel", own.file("vmlinuz", open(kernel["path"], "rb").read()),
                  "--modules", module_tar(own, kernel), "--initrd", own.file("initrd", initrd()))
    record = own.banger.json("image", "show", "mine")
    assert not record["managed"] and record["owns_kernel"] and record["paths"]["rootfs"] == rootfs
    assert record["kernel_release"] == kernel["release"] and record["modules"] == kernel["modules"] > 500

    own.banger.ok("vm", "create", "booted", "--image", "mine")
    run = ["vm", "exec", "booted", "--"]
    assert own.banger.ok(*run, "cat", "/proc/1/comm").out == "banger-init\n", "the initrd's init has no say"
    assert "virtio_blk" in own.banger.ok(*run, "cat", "/proc/modules").out
    assert "modules.dep" in own.banger.ok(*run, "ls", f"/lib/modules/{kernel['release']}").out
    assert "Table Upgrade: install [SSDT-BANGER-INITRD" in own.banger.ok(*run, "dmesg").out

    own.banger.ok("image", "promote", "mine")
    record = own.banger.json("image", "show", "mine")
    assert record["managed"] and record["paths"]["rootfs"].startswith(own.state)
    assert subprocess.run(["cmp", record["paths"]["rootfs"], rootfs]).returncode == 0
    own.banger.fails(4, "is a managed one already", "image", "promote", "mine")
    own.banger.ok("vm", "delete", "booted")
    own.banger.ok("image", "delete", "mine")
    assert os.path.exists(rootfs) and left(own) == ([], [], [])
