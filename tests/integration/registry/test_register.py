# SPDX-License-Identifier: ISC
"""What `image register` and `kernel import` take, and what they refuse."""
import os
import shutil
import subprocess

import pytest

from kernels import write_vmlinux

MKFS = "/usr/sbin/mkfs.ext4"


def make_ext4(host, name, files=(), options=(), size="64M"):
    """A file system of the user's with these files in it."""
    path, tree = os.path.join(host.user.home, name), os.path.join(host.user.home, name + "-tree")
    for file, data in dict(files).items():
        os.makedirs(os.path.join(tree, os.path.dirname(file)), exist_ok=True)
        with open(os.path.join(tree, file), "wb") as f:
            f.write(data)
    os.makedirs(tree, exist_ok=True)
    subprocess.run([MKFS, "-q", "-F", "-d", tree, *options, path, size], check=True, capture_output=True)
    shutil.rmtree(tree)
    os.chown(path, host.user.uid, host.user.gid)
    return path


def register(host, path, *args, ok=True, name="r"):
    return host.banger("image", "register", "--name", name, "--rootfs", path, *args, ok=ok)


def patch(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


@pytest.mark.parametrize("options", [(), ("-O", "^metadata_csum,^64bit"), ("-b", "1024"), ("-O", "^has_journal,^extents,^64bit")])
def test_whole_file_systems(host, options):
    path = make_ext4(host, "whole", {"usr/lib/os-release": b'PRETTY_NAME="Test 2"\n', "usr/sbin/sshd": b"x"}, options)
    register(host, path)
    image = host.json("image", "show", "r")
    assert (image["os"], image["has_sshd"], image["size_bytes"]) == ("Test 2", True, 64 << 20)


def test_an_empty_one(host):
    register(host, make_ext4(host, "blank"))
    shown = host.banger("image", "show", "r").stdout.split("\n")
    assert any(line.split()[:3] == ["ssh", "server", "no"] for line in shown) and any(line.split() == ["os", "unknown"] for line in shown)


def cut(path):
    os.truncate(path, 32 << 20)


def cut_a_little(path):
    os.truncate(path, (64 << 20) - 4096)


def break_superblock(path):
    patch(path, 1024 + 0x20, b"\x01")  # its blocks per group: the checksum tells


def break_descriptors(path):
    patch(path, 2048, bytes(4096))  # behind the superblock, for both block sizes


def break_root(path):
    subprocess.run(["/usr/sbin/debugfs", "-w", "-R", "set_inode_field <2> mode 0100644", path], check=True, capture_output=True)


@pytest.mark.parametrize("harm", [cut, cut_a_little, break_superblock, break_descriptors, break_root])
def test_damaged_ones(host, harm):
    path = make_ext4(host, "harmed", {"a": b"a"})
    harm(path)
    r = register(host, path, ok=False)
    assert r.returncode == 2 and "is not a whole ext4 file system" in r.stderr, r.stderr
    assert host.images() == [] and host.folders() == []


def test_a_record_is_replaced(host):
    first, second = make_ext4(host, "first"), make_ext4(host, "second", {"etc/os-release": b"PRETTY_NAME=Second\n"}, size="96M")
    register(host, first)
    assert register(host, second, ok=False).returncode == 4
    register(host, second, "--replace", "--kernel-ref", "k")
    image = host.json("image", "show", "r")
    assert (image["os"], image["kernel"], image["size_bytes"]) == ("Second", "k", 96 << 20)
    assert os.path.exists(first), "the file is the user's"
    cut(first)
    assert register(host, first, "--replace", ok=False).returncode == 2
    assert host.json("image", "show", "r") == image and os.path.exists(image["paths"]["work_seed"]), "what cannot replace it leaves it"
    register(host, second, "--replace", name="new")
    assert "new" in host.images()


def test_a_kernel_of_the_old_record(host):
    path = make_ext4(host, "first")
    write_vmlinux(host.user.home + "/own")
    register(host, path, "--kernel", host.user.home + "/own")
    register(host, path, "--replace", "--kernel", host.user.home + "/own")
    assert {k["name"] for k in host.json("kernel", "list")} == {"k", "r"}
    os.truncate(host.user.home + "/own", 5000)
    before = host.json("kernel", "show", "r")
    assert register(host, path, "--replace", "--kernel", host.user.home + "/own", ok=False).returncode == 2
    assert host.json("kernel", "show", "r") == before and os.path.exists(before["path"])
    register(host, path, "--replace", "--kernel-ref", "r")
    assert host.json("image", "show", "r")["owns_kernel"] is False
    register(host, path, "--replace", "--kernel-ref", "k")
    assert "r" in [k["name"] for k in host.json("kernel", "list")], "it was named: nobody's but the user's"
    host.banger("image", "delete", "r")
    host.banger("kernel", "delete", "r")


def test_a_kernel_goes_with_the_record_that_brought_it(host):
    path = make_ext4(host, "first")
    write_vmlinux(host.user.home + "/own")
    register(host, path, "--kernel", host.user.home + "/own")
    register(host, path, "--replace", "--kernel-ref", "k")
    assert [k["name"] for k in host.json("kernel", "list")] == ["k"]
    register(host, path, "--replace", "--kernel", host.user.home + "/own")
    register(host, path, "--kernel-ref", "r", name="other")
    r = register(host, path, "--replace", "--kernel", host.user.home + "/own", ok=False)
    assert r.returncode == 4 and 'kernel named "r"' in r.stderr, "another image boots with it"
    assert host.json("image", "show", "r")["owns_kernel"] is True
    register(host, path, "--replace")
    assert host.json("image", "show", "other")["kernel"] == "r" and host.json("kernel", "show", "r")
    host.banger("image", "delete", "other")
    host.banger("kernel", "delete", "r")


def test_only_what_was_registered(host):
    path = make_ext4(host, "first")
    register(host, path)
    host.banger("image", "promote", "r")
    r = register(host, path, "--replace", ok=False)
    assert r.returncode == 4 and "is stored by banger" in r.stderr


def test_programs_are_not_kernels(host):
    for path in ("/bin/ls", "/bin/bash"):
        r = host.banger("kernel", "import", path, "--name", "x", ok=False)
        assert r.returncode == 2 and "not a kernel" in r.stderr, r.stderr
    path = host.user.home + "/cut"
    write_vmlinux(path)
    os.truncate(path, os.path.getsize(path) // 2)
    r = host.banger("kernel", "import", path, "--name", "x", ok=False)
    assert r.returncode == 2 and "cut off" in r.stderr and [k["name"] for k in host.json("kernel", "list")] == ["k"]


def test_several_are_deleted_by_one_command(host):
    path = make_ext4(host, "first")
    for name in ("a", "b", "c"):
        register(host, path, name=name)
    host.banger("image", "rm", "a", "b", "a")
    assert host.images() == ["c"]
    r = host.banger("image", "rm", "gone", "c", ok=False)
    assert r.returncode == 3 and "gone" in r.stderr and host.images() == []


def test_no_password_is_told(host):
    """Of URLs: not in what commands print, not in any log."""
    url = "http://user:s3cret@127.0.0.1:9/x.tar.zst"
    host.write(".config/banger/config.toml", f'catalogs = "{url}"\n')
    host.banger("daemon", "stop", ok=False)
    said = [host.banger(*args, ok=False) for args in (
        ("image", "import", url, "--name", "i"), ("image", "import", "ftp://user:s3cret@h/x"), ("kernel", "pull", "nothing"),
        ("image", "pull", "--catalog", "nothing"), ("image", "pull", "https://user:s3cret@127.0.0.1:9/a/b"))]
    assert all(r.returncode for r in said)
    host.write(".config/banger/config.toml", "")
    host.banger("daemon", "stop", ok=False)
    text = "".join(r.stdout + r.stderr for r in said)
    for name in ("bangerd.log", "worker.log"):
        with open(os.path.join(host.state, name)) as f:
            text += f.read()
    assert "127.0.0.1:9" in text and "s3cret" not in text
