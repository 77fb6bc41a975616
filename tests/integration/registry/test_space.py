# SPDX-License-Identifier: ISC
"""Equal files of images and kernels are kept once, whatever way they came; what nothing needs is gone, also after a crash."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from conftest import BUILD, wait_for
from kernels import write_vmlinux
from registries import Image, layer, random_layer
from test_register import make_ext4

KILLED_AT = ("rename", "unlink", "unlinkat", "rmdir", "chmod", "utimensat", "sendmsg")


def kept(host):
    """Path of each kept file, with its inode and its bytes on disk."""
    folder = host.state + "/blobs"
    found = {}
    for name in os.listdir(folder):
        st = os.stat(os.path.join(folder, name))
        assert re.fullmatch("[0-9a-f]{64}", name) and stat.S_IMODE(st.st_mode) == 0o400 and st.st_nlink == 1, (name, st)
        found[os.path.join(folder, name)] = (st.st_ino, st.st_blocks * 512)
    return found


def named(host):
    """Paths that images and kernels have, as far as they are shown."""
    images = [host.json("image", "show", name) for name in host.images()]
    kernels = [host.json("kernel", "show", k["name"]) for k in host.json("kernel", "list")]
    return {i["paths"][what] for i in images for what in ("rootfs", "work_seed")} | {k["path"] for k in kernels}


def files(image):
    return image["paths"]["rootfs"], image["paths"]["work_seed"]


def sound(image):
    for path in files(image):
        r = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True)
        assert r.returncode == 0, r.stdout


@pytest.fixture
def pulled(host, server):
    """An image "one" of a megabyte of noise."""
    image = Image(server, layers=[random_layer(1), layer({"etc/os-release": b"ID=x\n", "root/.profile": b"# hello\n"})])
    image.put()
    host.banger("image", "pull", f"{server.host}/team/dev", "--name", "one")
    yield host.json("image", "show", "one")
    for name in host.images():
        host.banger("image", "delete", name)
    for k in host.json("kernel", "list"):
        if k["name"] != "k":
            host.banger("kernel", "delete", k["name"])


@pytest.fixture
def bundle(host, pulled):
    path = host.user.home + "/one.tar.zst"
    host.banger("image", "export", "one", path)
    yield path
    os.unlink(path)


def test_pulled_twice(host, server, pulled):
    assert pulled["shared_bytes"] == 0
    before = kept(host)
    host.banger("image", "pull", f"{server.host}/team/dev", "--name", "two")
    two = host.json("image", "show", "two")
    assert files(two) == files(pulled) and kept(host) == before
    assert host.folders() == [] and host.records("images") == ["one", "two"]
    assert two["shared_bytes"] == two["real_bytes"] == host.json("image", "show", "one")["shared_bytes"] > 1 << 20
    host.banger("image", "delete", "one")
    two = host.json("image", "show", "two")
    assert kept(host) == before and two["shared_bytes"] == 0
    sound(two)
    host.banger("image", "delete", "two")
    assert set(kept(host)) == named(host)


def test_whatever_way_it_comes(host, pulled, bundle):
    """Pulled, imported, and registered then promoted; the kernel imported twice, and with the bundle."""
    before = kept(host)
    host.banger("image", "import", bundle, "--name", "two")
    host.banger("kernel", "import", host.user.home + "/vmlinux", "--name", "again")
    two, kernels = host.json("image", "show", "two"), host.json("kernel", "list")
    assert files(two) == files(pulled) and kept(host) == before
    assert {k["name"] for k in kernels} == {"k", "again", "two"} and len({k["path"] for k in kernels}) == 1
    assert all(k["shared_bytes"] == k["real_bytes"] > 0 for k in kernels)
    rootfs = host.user.home + "/rootfs.ext4"
    shutil.copy(files(pulled)[0], rootfs)
    os.chown(rootfs, host.user.uid, host.user.gid)
    host.banger("image", "register", "--name", "three", "--rootfs", rootfs, "--kernel-ref", "k")
    host.banger("image", "register", "--name", "four", "--rootfs", rootfs, "--kernel-ref", "k")
    three, four = host.json("image", "show", "three"), host.json("image", "show", "four")
    assert files(three)[0] == rootfs and files(three)[1] == files(four)[1], "both have a blank seed"
    assert len(kept(host)) == len(before) + 1
    host.banger("image", "promote", "three")
    assert files(host.json("image", "show", "three"))[0] == files(pulled)[0] and len(kept(host)) == len(before) + 1
    with open(rootfs, "r+b") as f:  # the user's own: still his to write to
        f.write(b"x")
    os.unlink(rootfs)
    for name in ("one", "two"):
        host.banger("image", "delete", name)
        sound(host.json("image", "show", "three"))
    assert "two" not in [k["name"] for k in host.json("kernel", "list")]
    for name in ("three", "four"):
        host.banger("image", "delete", name)
    host.banger("kernel", "delete", "again")
    assert list(kept(host)) == [host.json("kernel", "show", "k")["path"]]


def test_several_at_once(host, pulled, bundle):
    before = kept(host)
    running = [host.start("image", "import", bundle, "--name", f"n{i}") for i in range(4)]
    for p in running:
        text = p.communicate(timeout=120)[0]
        assert p.returncode == 0, text
    assert len({files(host.json("image", "show", f"n{i}")) for i in range(4)} | {files(pulled)}) == 1
    assert kept(host) == before
    assert host.folders() == [] and host.folders("kernels") == []


def test_a_damaged_file_is_replaced(host, pulled, bundle):
    rootfs = files(pulled)[0]
    os.truncate(rootfs, 4096)
    host.banger("image", "import", bundle, "--name", "two")
    assert files(host.json("image", "show", "two"))[0] == rootfs
    sound(host.json("image", "show", "one"))


def engine(host):
    return host.json("daemon", "status")["pid"]


def kill_engine(host):
    os.kill(engine(host), signal.SIGKILL)
    assert wait_for(lambda: host.banger("image", "list", "--json", ok=False).returncode == 0)


def test_files_that_no_row_names_stay_until_asked(host, pulled):
    before = kept(host)
    stray, other = (os.path.join(host.state, "blobs", n) for n in ("0" * 64, "notes.txt"))
    for path in (stray, other):
        shutil.copy(BUILD + "/guest/banger-init", path)
    kill_engine(host)
    assert os.path.exists(stray) and host.json("daemon", "status")["store"]["unused"]["files"] == 1
    assert "image prune" in host.banger("doctor", ok=False).stdout
    assert " and 1 file that nothing named removed" in host.banger("image", "prune").stdout
    assert "nothing to remove" in host.banger("image", "prune").stdout
    assert not os.path.exists(stray) and os.path.exists(other), "what is not ours is left alone"
    os.unlink(other)
    assert kept(host) == before
    sound(host.json("image", "show", "one"))


def test_a_folder_that_no_row_names_goes_when_that_is_said(host):
    stray = host.state + "/images/stray"
    os.makedirs(stray)
    shutil.copy(BUILD + "/guest/banger-init", stray + "/rootfs.ext4")
    subprocess.run(["chown", "-R", host.user.name, host.state + "/images"], check=True)
    kill_engine(host)
    aside = host.state + "/set-aside/images-stray"
    assert os.path.exists(aside + "/rootfs.ext4") and not os.path.exists(stray)
    kill_engine(host)
    assert "doctor --remove set-aside/images-stray" in host.banger("doctor", ok=False).stdout.replace("\n", " ")
    r = host.banger("doctor", "--remove", "stray", ok=False)
    assert r.returncode == 2 and "--force" in r.stderr and os.path.exists(aside)
    host.banger("doctor", "--remove", "stray", "--force")
    assert not os.path.exists(aside) and host.json("daemon", "status")["store"]["orphans"] == []
    assert host.banger("doctor", "--remove", "set-aside/images-stray", "--force", ok=False).returncode == 3
    kill_engine(host)
    assert host.json("daemon", "status")["store"]["orphans"] == []


def is_traced_or_gone(pid):
    """Gone: what was still to be stored of the command before was already such a call."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return "TracerPid:\t0\n" not in f.read()
    except (FileNotFoundError, ProcessLookupError):
        return True


def killed_at(host, call, nth, *command):
    """The engine dies at its nth such call in this command; False when there were fewer, and it went through."""
    pid = engine(host)
    tracer = subprocess.Popen(["strace", "-q", "-p", str(pid), "-o", "/dev/null", "-e", "trace=" + call,
                               "-e", f"inject={call}:signal=KILL:when={nth}"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_traced_or_gone(pid))
        p = host.start(*command)
        text = p.communicate(timeout=120)[0]
        # It may die after the command has ended, while this is asked.
        r = host.banger("daemon", "status", "--json", ok=False)
        if r.returncode == 0 and json.loads(r.stdout)["pid"] == pid:
            assert p.returncode == 0, text
            return False
        host.banger("daemon", "stop")  # the monitor too: it waits longer each time before it starts another
        return True
    finally:
        tracer.terminate()
        tracer.wait()


def check_what_is_left(host, what, where):
    assert wait_for(lambda: host.banger("image", "list", "--json", ok=False).returncode == 0)
    listed = host.images()
    assert set(listed) <= {"one", "two"} and ("one" in listed) == (what != "an import"), where
    for name in listed:
        sound(host.json("image", "show", name))
    # What was moved there and never named is kept, counted, and goes when that is asked for.
    assert set(kept(host)) >= named(host), where
    unused = host.json("daemon", "status")["store"]["unused"]["files"]
    assert unused == len(set(kept(host)) - named(host)), where
    host.banger("image", "prune")
    assert set(kept(host)) == named(host), where
    assert host.folders() == [] and host.folders("kernels") == [], where
    assert host.records("images") == sorted(listed), where


def own_kernel(host, release):
    path = host.user.home + "/" + release
    write_vmlinux(path, release=release)
    os.chown(path, host.user.uid, host.user.gid)
    return path


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which kills at a chosen call")
def test_a_replacement_is_the_old_or_the_new_at_each_kill_9(host):
    """Before each rename, removal and message to the store: record, work disk and kernel are of one of both, and whole."""
    one, two = make_ext4(host, "one", {"a": b"1"}), make_ext4(host, "two", {"a": b"2"})
    kernels = {one: own_kernel(host, "1.0.0"), two: own_kernel(host, "2.0.0")}
    host.banger("image", "register", "--name", "r", "--rootfs", one, "--kernel", kernels[one])
    now, died, seen = one, {}, set()
    for call in ("rename", "unlink", "unlinkat", "rmdir", "chmod", "sendmsg"):
        died[call] = 0
        while True:
            new = two if now == one else one
            command = ("image", "register", "--replace", "--name", "r", "--rootfs", new, "--kernel", kernels[new])
            if not killed_at(host, call, died[call] + 1, *command):
                now = new
                break
            died[call] += 1
            where = f"{call} {died[call]}"
            assert wait_for(lambda: host.banger("image", "list", "--json", ok=False).returncode == 0)
            image, kernel = host.json("image", "show", "r"), host.json("kernel", "show", "r")
            assert image["paths"]["rootfs"] in (now, new) and image["kernel"] == "r" and image["owns_kernel"], where
            assert kernel["release"] == ("1.0.0" if image["paths"]["rootfs"] == one else "2.0.0"), where
            sound(image)
            with open(kernel["path"], "rb") as f:
                assert f"Linux version {kernel['release']}".encode() in f.read(), where
            assert set(kept(host)) >= named(host) - {one, two}, where
            host.banger("image", "prune")
            assert set(kept(host)) == named(host) - {one, two}, where
            assert host.folders() == [] and host.folders("kernels") == [], where
            seen.add(image["paths"]["rootfs"] == new)
            now = image["paths"]["rootfs"]
    print(died, seen)
    assert died["sendmsg"] >= 2 and died["rename"] >= 2 and False in seen, died


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which kills at a chosen call")
@pytest.mark.parametrize("what", ["an import", "an import of what is there", "a deletion"])
def test_kill_9_at_each_change(host, server, pulled, bundle, what):
    """Before each rename, removal and message to the store: afterwards everything listed is whole, and nothing else is there."""
    if what == "an import":
        host.banger("image", "delete", "one")
    elif what == "a deletion":
        host.banger("image", "import", bundle, "--name", "two")
    command = ("image", "delete", "two") if what == "a deletion" else ("image", "import", bundle, "--name", "two")
    died = {}
    for call in KILLED_AT:
        died[call] = 0
        while killed_at(host, call, died[call] + 1, *command):
            died[call] += 1
            check_what_is_left(host, what, f"{call} {died[call]}")
            if "two" in host.images() and what != "a deletion":
                host.banger("image", "delete", "two")
            elif "two" not in host.images() and what == "a deletion":
                host.banger("image", "import", bundle, "--name", "two")
        # It went through this time.
        if what == "a deletion":
            host.banger("image", "import", bundle, "--name", "two")
        else:
            host.banger("image", "delete", "two")
    print(died)
    # What goes to the store is a message each.
    assert sum(died.values()) >= 5 and died["sendmsg"] >= 2 and (what != "an import" or died["rename"] >= 3), died
