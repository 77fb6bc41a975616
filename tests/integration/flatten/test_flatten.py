# SPDX-License-Identifier: ISC
"""What the flatten job writes as an ordinary user equals, attribute by attribute, what umoci unpacks as root."""
import os
import shutil
import struct
import subprocess
import tarfile

import pytest

import oci
import worker

LONG = "n" * 255
CAP = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, perm, who) for tag, perm, who in entries)


ACL = acl((1, 6, 0xffffffff), (2, 7, 1234), (4, 4, 0xffffffff), (0x10, 7, 0xffffffff), (0x20, 4, 0xffffffff))
DEFAULT_ACL = acl((1, 7, 0xffffffff), (4, 5, 0xffffffff), (0x20, 0, 0xffffffff))


def nasty_base():
    l = oci.Layer()
    l.dir("./", mtime=1400000000)
    for d in ("etc", "usr", "usr/bin", "usr/lib", "dev", "root", "var", "var/lib", "many", "tmp", "swap", "links", "opq", "opq/deep"):
        l.dir(d + "/", mtime=1400000001.25)
    l.add("usr/bin/su", data=b"su" * 5000, mode=0o4755)
    l.add("usr/bin/wall", data=b"wall", mode=0o2755, gid=5)
    l.dir("tmp/", mode=0o1777)
    l.add("usr/bin/ping", data=b"ping", mode=0o755, xattrs={"security.capability": CAP})
    l.add("etc/acl", data=b"acl", mode=0o674, xattrs={"system.posix_acl_access": ACL, "user.note": b"\x00\xff bytes"})
    l.dir("var/acl", xattrs={"system.posix_acl_default": DEFAULT_ACL, "user.dir": b"d", "trusted.t": b"t"})
    l.add("etc/big-xattr", data=b"x", xattrs={"user.big": b"v" * 3000, "user.small": b"s"})
    l.add("etc/owner", data=b"o", uid=100000, gid=4000000000)
    l.add("etc/nanoseconds", data=b"n", mtime=1234567890.123456)
    l.add("etc/old", data=b"o", mtime=-86400.5)
    l.add("etc/future", data=b"f", mtime=5000000000)
    l.add("etc/empty")
    l.add("etc/locked", data=b"l", mode=0)
    l.add("dev/null", tarfile.CHRTYPE, mode=0o666, dev=(1, 3))
    l.add("dev/disk", tarfile.BLKTYPE, mode=0o660, gid=6, dev=(259, 70000))
    l.add("dev/fifo", tarfile.FIFOTYPE, mode=0o600)
    l.add("usr/" + LONG, data=b"long")
    l.dir("usr/" + "d" * 255)
    l.add("usr/" + "d" * 255 + "/" + LONG, data=b"long in long")
    deep = "var/lib"
    for i in range(24):
        deep += "/" + chr(97 + i) * 120
        l.dir(deep)
    l.add(deep + "/bottom", data=b"deep")
    l.add("etc/h\u00e9llo w\u00f6rld \u2603", data=b"utf-8")
    l.add("etc/new\nline", data=b"newline")
    # Two spellings of one letter are two names.
    l.add("etc/e\u0301", data=b"form D")
    l.add("etc/\u00e9", data=b"form C")
    l.hard("etc/hard-e\u0301", "etc/e\u0301")
    l.soft("etc/soft-\u00e9", "e\u0301")
    l.dir("etc/\u1112\u1161\u11ab")
    l.add("etc/\ud55c", data=b"Hangul, composed")
    l.add("etc/.wh", data=b"no marker")
    l.soft("etc/short", "locked")
    l.soft("etc/inline", "x" * 59)
    l.soft("etc/block", "x" * 60)
    l.soft("etc/longest", "y" * 4000)
    l.soft("lib", "usr/lib", mtime=1300000000)
    l.add("usr/lib/libc", data=b"libc" * 100000)
    l.add("links/one", data=b"one")
    l.hard("links/two", "links/one")
    l.hard("links/three", "./links/two")
    l.hard("links/soft", "etc/short")
    l.hard("dev/null2", "dev/null")
    l.add("links/later", data=b"as it was")
    l.hard("links/keeps", "links/later")
    l.add("etc/twice", data=b"first" * 3000)
    l.add("etc/twice", data=b"second", mode=0o600)
    l.add("swap/file", data=b"becomes a directory")
    l.dir("swap/dir", xattrs={"user.gone": b"x"})
    l.add("swap/dir/a", data=b"becomes a file")
    l.soft("swap/link", "dir")
    l.dir("swap/told", mode=0o700, xattrs={"user.gone": b"x"})
    for n in ("a", "b", "deep/c"):
        l.add("opq/" + n, data=n.encode())
    l.add("root/.profile", data=b"profile", mode=0o600)
    l.hard("root/.profile2", "root/.profile")
    l.dir("root/old")
    l.add("root/old/f", data=b"old")
    return l


def nasty_many():
    l = oci.Layer(tarfile.GNU_FORMAT)
    for i in range(10500):
        if i % 100 == 0:
            l.dir(f"many/{i // 100}")
        l.add(f"many/{i // 100}/file-{i}", data=f"{i}\n".encode() * (i % 50), mode=0o600 + i % 64, uid=i % 1000, gid=i % 77,
              mtime=1500000000 + i)
    l.add("many/latin-\udce9", data=b"not utf-8")
    return l


def nasty_upper():
    l = oci.Layer()
    l.gone("etc/empty")
    l.gone("many/7")
    l.gone("no/such/thing")
    l.add("opq/new", data=b"before its marker")
    l.opaque("opq")
    l.dir("opq/deep", mode=0o711)
    l.add("opq/deep/d", data=b"d")
    l.hard("many/8/across", "links/one")
    l.hard("links/four", "links/keeps")
    l.add("links/later", data=b"replaced", mode=0o640)
    l.hard("links/new-later", "links/later")
    l.add("links/two", data=b"leaves its group")
    l.dir("swap/file")
    l.add("swap/file/inside", data=b"i")
    l.add("swap/dir", data=b"a file now")
    l.dir("swap/link")
    l.add("swap/link/f", data=b"f")
    l.dir("swap/told", mode=0o750, uid=7, mtime=1450000000)
    l.add("lib/through-link", data=b"t")
    l.soft("usr/bin/su", "wall")
    l.add("usr/bin/wall", tarfile.FIFOTYPE)
    l.gone("root/old")
    l.add("root/new", data=b"new", uid=3)
    l.add("var/again", data=b"1")
    l.gone("var/again")
    l.dir("many/9", mode=0o500)
    l.gone("many/9/file-900")
    return l


def nasty_top():
    l = oci.Layer()
    l.hard("links/five", "many/8/across")
    l.gone("links/one")
    l.opaque("many/10")
    l.add("many/10/only", data=b"only")
    l.dir("many/7")
    l.add("many/7/back", data=b"back")
    l.gone("swap/file")
    l.gone("var/acl")
    l.dir("var/acl", mode=0o755)
    l.dir("./", mode=0o755, mtime=1600000000, xattrs={"user.top": b"top"})
    l.dir("root", mode=0o700, uid=0, mtime=1600000001)
    return l


def sparse_layer(tmp, fmt):
    """Sparse files, which only GNU tar writes, in its own format or in pax."""
    src = tmp / ("sparse-" + fmt)
    (src / "sparse").mkdir(parents=True)
    with open(src / "sparse" / fmt, "wb") as f:
        f.truncate(300 << 20)
        for at in (0, 5 << 20, (100 << 20) + 12345, (299 << 20) + 4000):
            f.seek(at)
            f.write(os.urandom(9000))
    with open(src / "sparse" / "hole", "wb") as f:
        f.truncate(1 << 20)
    for name in (fmt, "hole", ""):
        os.utime(src / "sparse" / name, (1, 1234567))
    return subprocess.run(["tar", "-C", src, "--sparse", f"--format={fmt}", "-c", "sparse"], check=True, capture_output=True).stdout


def umoci_tree(layout, tag="t"):
    bundle = f"{layout}-{tag}-bundle"
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:{tag}", bundle], check=True, capture_output=True, timeout=600)
    return bundle + "/rootfs"


def expect_equal(user, want, layers, out):
    os.makedirs(out, exist_ok=True)
    result = worker.flatten(user, layers, out)
    worker.fsck(f"{out}/root.ext4")
    worker.fsck(f"{out}/seed.ext4")
    with worker.Mounted(out) as at:
        wrong = worker.differences(want, worker.tree(at))
    assert not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:50])
    return result


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("nasty")
    layout = str(tmp / "layout")
    tars = [l().bytes() for l in (nasty_base, nasty_many)] + [sparse_layer(tmp, "pax")]
    tars += [l().bytes() for l in (nasty_upper, nasty_top)]
    paths = oci.write_layout(layout, tars)
    yield tmp, paths, worker.tree(umoci_tree(layout))
    shutil.rmtree(tmp, ignore_errors=True)


@pytest.mark.parametrize("how", ["gzip", "zstd", "none"])
def test_nasty_image(user, nasty, how):
    tmp, paths, want = nasty
    assert len(want[0]) > 10000 and want[1]
    out = str(tmp / how)
    result = expect_equal(user, want, oci.repack(paths, how, str(tmp)), out)
    assert result["max_kib"] < 64 * 1024
    # A 300 MiB file that is nearly all hole stays that.
    assert os.stat(out + "/root.ext4").st_blocks * 512 < 100 << 20


def test_sparse_files_of_gnu_tar(user, scratch):
    """umoci refuses GNU tar's own sparse format: tar itself is the judge."""
    tar, out = scratch / "gnu.tar", scratch / "out"
    tar.write_bytes(sparse_layer(scratch, "gnu"))
    out.mkdir()
    worker.flatten(user, [tar], out)
    worker.fsck(out / "root.ext4")
    with worker.Mounted(out) as at:
        assert not worker.differences(worker.tree(scratch / "sparse-gnu" / "sparse"), worker.tree(at + "/sparse"))
    assert os.stat(out / "root.ext4").st_blocks * 512 < 20 << 20


def test_busybox(user, scratch):
    l = oci.Layer()
    l.dir("./")
    for d in ("bin", "etc", "root", "tmp"):
        l.dir(d)
    with open("/bin/busybox", "rb") as f:
        l.add("bin/busybox", data=f.read(), mode=0o755)
    for applet in ("sh", "ls", "cat", "mount"):
        l.hard("bin/" + applet, "bin/busybox")
    l.add("etc/passwd", data=b"root:x:0:0::/root:/bin/sh\n")
    layout = str(scratch / "layout")
    paths = oci.write_layout(layout, [l.bytes()])
    result = expect_equal(user, worker.tree(umoci_tree(layout)), paths, str(scratch / "out"))
    assert not result["has_init"] and not result["has_sshd"] and result["os_release"] == {}


def test_debian_with_a_layer_that_umoci_made(user, scratch):
    tar = scratch / "debian.tar"
    r = subprocess.run(["mmdebstrap", "--mode=root", "--variant=minbase", "bookworm", str(tar)], capture_output=True, text=True,
                       timeout=900)
    if r.returncode != 0:
        pytest.skip("mmdebstrap could not fetch Debian: " + r.stderr.strip().splitlines()[-1])
    layout = str(scratch / "layout")
    oci.write_layout(layout, [tar.read_bytes()])
    tar.unlink()
    rootfs = umoci_tree(layout)
    for cmd in ("rm -rf usr/share/doc var/cache/apt", "mkdir -p usr/share/doc && echo new > usr/share/doc/new",
                "cp -a bin/bash bin/bash2 && ln -f bin/bash2 usr/local/bin/b && rm bin/dash",
                "rm -rf etc/apt && ln -s ../usr etc/apt", "chmod 711 var/lib && setfattr -n user.a -v b etc/passwd",
                "echo x > root/x && rm -f root/.profile", "truncate -s 64M var/holes && mknod dev/loop9 b 7 9"):
        subprocess.run(cmd, shell=True, check=True, cwd=rootfs)
    subprocess.run(["umoci", "repack", "--image", f"{layout}:two", os.path.dirname(rootfs)], check=True, capture_output=True,
                   timeout=600)
    paths = oci.blobs(layout, "two")
    assert len(paths) == 2
    result = expect_equal(user, worker.tree(umoci_tree(layout, "two")), paths, str(scratch / "out"))
    assert result["os_release"]["ID"] == "debian" and result["max_kib"] < 64 * 1024


def test_a_million_entries_in_little_memory(user, scratch):
    tar = scratch / "many.tar"
    with open(tar, "wb") as f:
        for i in range(1000):
            f.write(b"".join(oci.plain_header(f"usr/share/d{i}/file-{j:06}.txt") for j in range(i * 1000, i * 1000 + 1000)))
        f.write(bytes(1024))
    result = worker.flatten(user, [tar], scratch)
    assert result["entries"] == 1000000
    assert result["max_kib"] < 64 * 1024
    worker.fsck(scratch / "root.ext4")
