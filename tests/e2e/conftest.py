# SPDX-License-Identifier: ISC
"""The product as built, run by ordinary users: the one of scripts/as-user, who has quickstart's kernel and image, and
users that a test makes for itself. Needs root, and scripts/quickstart to have run."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from hostuser import HostUser, is_root  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build"))
BOOT_S = 300  # a guest in software emulation on a busy machine


def pytest_collection_modifyitems(items):
    if is_root():
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="needs root: it makes users, and looks at taps and processes"))


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Banger:
    """The CLI as one user."""

    def __init__(self, run):
        self._run = run

    def __call__(self, *args, timeout=BOOT_S):
        return Result(self._run([os.path.join(BUILD, "cli", "banger"), *args], capture_output=True, text=True,
                                timeout=timeout, stdin=subprocess.DEVNULL))

    def ok(self, *args, **kw):
        result = self(*args, **kw)
        assert result.status == 0, result
        return result

    def json(self, *args, **kw):
        return json.loads(self.ok(*args, "--json", **kw).out)

    def fails(self, status, text, *args, **kw):
        """One clear error: its exit status, its words, no stack of them."""
        result = self(*args, **kw)
        assert result.status == status, result
        assert text in result.err, result
        assert result.err.count("banger: ") == 1, result
        return result


def as_user(argv, **kw):
    return subprocess.run([os.path.join(ROOT, "scripts", "as-user"), *argv], **kw)


@pytest.fixture(scope="session")
def banger():
    """The user of quickstart."""
    b = Banger(as_user)
    if b("image", "show", "default").status != 0:
        pytest.skip("there is no image \"default\": run scripts/quickstart first")
    return b


@pytest.fixture
def vm(banger, request):
    """A VM of its own for the test, gone afterwards."""
    name = "t-" + request.node.name.replace("test_", "").replace("_", "-")[:30].rstrip("-")
    banger("vm", "delete", name)
    banger.ok("vm", "create", name)
    yield name
    banger("vm", "delete", name)


class OwnUser:
    """A fresh user with a home, a daemon and, when asked for, a kernel and an image that are small and quick to have."""

    def __init__(self, user):
        self.user = user
        self.env = user.env()
        self.banger = Banger(self.run)
        self.state = user.home + "/.local/state/banger"

    def run(self, argv, **kw):
        kw.setdefault("env", self.env)
        return self.user.run(argv, **kw)

    def config(self, text):
        folder = self.user.home + "/.config/banger"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/config.toml", "w") as f:
            f.write(text)
        subprocess.run(["chown", "-R", self.user.name, self.user.home + "/.config"], check=True)

    def file(self, name, data=b"", mode=0o644):
        path = os.path.join(self.user.home, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        os.chown(path, self.user.uid, self.user.gid)
        return path

    def assets(self, kernel, data_mib=0):
        """kernel: a boot image, without its modules. The image is an empty ext4, with that much data in it."""
        own = shutil.copy(kernel, self.user.home + "/vmlinuz")
        os.chown(own, self.user.uid, self.user.gid)
        rootfs = self.user.home + "/rootfs.ext4"
        tree = self.user.home + "/tree"
        self.run(["mkdir", "-p", tree], check=True)
        if data_mib:
            self.run(["dd", "if=/dev/urandom", f"of={tree}/data", "bs=1M", f"count={data_mib}"], check=True,
                     capture_output=True)
        self.run(["/usr/sbin/mkfs.ext4", "-q", "-d", tree, rootfs, f"{data_mib + 32}M"], check=True)
        self.banger.ok("kernel", "import", own, "--name", "k")
        self.banger.ok("image", "register", "--name", "img", "--rootfs", rootfs, "--kernel-ref", "k")

    def leftovers(self):
        """What there is of VMs: directories, processes."""
        vms = os.path.join(self.state, "vms")
        dirs = os.listdir(vms) if os.path.isdir(vms) else []
        qemu = subprocess.run(["pgrep", "-a", "-u", str(self.user.uid), "-f", "qemu-system"], capture_output=True, text=True)
        return dirs + [p for p in qemu.stdout.splitlines() if "<defunct>" not in p]

    def end(self):
        for record in json.loads(self.banger("vm", "list", "--json").out or "[]"):
            self.banger("vm", "delete", "--force", record["name"])
        self.banger("daemon", "stop", "--cancel")
        subprocess.run(["pkill", "-KILL", "-u", str(self.user.uid)], capture_output=True)


@pytest.fixture
def make_user():
    users, contexts = [], []

    def make(name, groups=("banger",)):
        context = HostUser(name, groups=groups)
        user = context.__enter__()
        os.chmod(user.home, 0o700)
        contexts.append(context)
        users.append(OwnUser(user))
        return users[-1]

    yield make
    for user in users:
        user.end()
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def boot_image(banger):
    """Path of quickstart's kernel: root can read it for other users."""
    return banger.json("kernel", "show", "debian")["path"]


def own_taps(uid):
    """Taps that the network helper made for this user, as their alias says."""
    found = []
    for name in sorted(n for n in os.listdir("/sys/class/net") if n.startswith("bgr")):
        try:
            with open(f"/sys/class/net/{name}/ifalias") as f:
                found += [name] if f.read().startswith(f"banger uid {uid} slot ") else []
        except FileNotFoundError:
            pass  # gone meanwhile: another user's, or ours while it is taken down
    return found


def wait_for(what, seconds=BOOT_S):
    """The first true value that what() gives; bounded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def busybox_tree(tree):
    """The files of a root without an init, an ssh server and a package manager."""
    os.makedirs(f"{tree}/bin")
    shutil.copy("/bin/busybox", f"{tree}/bin/busybox")
    for tool in ("sh", "cat", "dmesg", "ls", "uname"):
        os.symlink("busybox", f"{tree}/bin/{tool}")


HOST, WORLD, PORT = "198.51.100.1", "198.51.100.2", 8000


@contextlib.contextmanager
def outside(folder):
    """A network namespace beside the host's is the outside world; a web server in it shows the folder."""
    def sh(*argv):
        subprocess.run(argv, check=True, capture_output=True)

    here = os.readlink("/proc/self/ns/net")
    server = subprocess.Popen(["unshare", "-n", "sh", "-c", "read go; exec /usr/bin/python3 -m http.server " + str(PORT)],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, text=True)
    try:
        wait_for(lambda: os.readlink(f"/proc/{server.pid}/ns/net") != here, 10)
        sh("ip", "link", "add", "bgtworld", "type", "veth", "peer", "name", "up0", "netns", str(server.pid))
        sh("ip", "address", "add", HOST + "/24", "dev", "bgtworld")
        sh("ip", "link", "set", "bgtworld", "up")
        for args in (["address", "add", WORLD + "/24", "dev", "up0"], ["link", "set", "up0", "up"]):
            sh("nsenter", "-t", str(server.pid), "-n", "ip", *args)
        server.stdin.write("go\n")
        server.stdin.flush()
        wait_for(lambda: subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/{WORLD}/{PORT}"], capture_output=True).returncode == 0, 20)
        yield
    finally:
        server.kill()
        server.wait()
        subprocess.run(["ip", "link", "delete", "bgtworld"], capture_output=True)
