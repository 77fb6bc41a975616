# SPDX-License-Identifier: ISC
"""bangerd of a user of the tests, whose VMs are played by tests/lib/fake-vmm; all else is real."""
import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

from bench_pull import make_layout  # noqa: E402
from kernels import write_vmlinux  # noqa: E402
from unixhttp import Connection  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", "build")
PROGRAMS = ("cli/banger", "daemon/bangerd", "worker/banger-worker", "guest/banger-init", "launcher/banger-launch", "tests/lib/fake-vmm")


class Host:
    """banger for one user; home is where its state lies: the user's own, or a folder on a disk of the test's."""

    def __init__(self, user, home=None):
        self.user, self.home = user, home or user.home
        self.programs = user.home + "/programs"
        for name in PROGRAMS if not os.path.exists(self.programs) else ():
            os.makedirs(os.path.join(self.programs, os.path.dirname(name)), 0o755, exist_ok=True)
            shutil.copy(os.path.join(BUILD, name), os.path.join(self.programs, name))
        self.state = self.home + "/.local/state/banger"
        self.env = user.env(HOME=self.home, BANGER_FAKE_VMM=self.programs + "/tests/lib/fake-vmm")
        self.sources = user.home + "/sources"
        self.layout = f"oci:{self.sources}/oci:t"
        if not os.path.exists(self.sources):
            self.make_sources(self.sources)

    def make_image(self):
        """Kernel k and, with it, image r."""
        self.banger("kernel", "import", self.sources + "/vmlinux", "--name", "k")
        self.banger("image", "register", "--name", "r", "--rootfs", self.sources + "/rootfs.ext4", "--kernel-ref", "k")

    def make_vm(self, name, *flags):
        self.banger("vm", "create", name, "--image", "r", "--cpus", "1", "--memory", "128M", *flags)

    def make_sources(self, folder):
        """Outside of the disk that fails."""
        os.makedirs(folder)
        write_vmlinux(folder + "/vmlinux", size=256 << 10)
        tree = folder + "/tree"
        os.makedirs(tree, exist_ok=True)
        with open(tree + "/data", "wb") as f:
            f.write(os.urandom(1 << 20))
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", "-d", tree, folder + "/rootfs.ext4", "8M"], check=True, stdout=subprocess.DEVNULL)
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(tree, "usr/share")
        make_layout(pathlib.Path(folder, "oci"), [gzip.compress(layer.getvalue())])
        subprocess.run(["chown", "-R", self.user.name, folder, self.programs], check=True)

    def banger(self, *args, ok=True, timeout=120):
        r = self.user.run([self.programs + "/cli/banger", *args], env=self.env, capture_output=True, text=True, timeout=timeout)
        assert not ok or r.returncode == 0, (args, r.stdout, r.stderr, self.log()[-2000:])
        return r

    def json(self, *args):
        return json.loads(self.banger(*args, "--json").stdout)

    def log(self):
        try:
            return pathlib.Path(self.state, "bangerd.log").read_text()
        except FileNotFoundError:
            return ""

    def ask(self, *paths):
        """The daemon's answers, asked by a process that becomes the user: a command for each would take most of the time."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self.user.become()
                api, answers = Connection(self.state + "/run/bangerd.sock"), []
                for path in paths:
                    api.request("GET", path)
                    answers.append(json.loads(api.getresponse().read()))
                with os.fdopen(write, "w") as f:
                    json.dump(answers, f)
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as f:
            text = f.read()
        os.waitpid(pid, 0)
        assert text, ("no answer", self.log()[-2000:])
        return json.loads(text)

    def facts(self):
        """All that banger says there is."""
        self.banger("vm", "list", "--quiet")  # starts the daemon
        vms, images, kernels, daemon = self.ask("/v1/vms", "/v1/images", "/v1/kernels", "/v1/daemon")
        return Facts(self.state, vms["vms"], images["images"], kernels["kernels"], daemon)

    def processes(self):
        r = subprocess.run(["pgrep", "-u", self.user.name], capture_output=True, text=True)
        return [int(pid) for pid in r.stdout.split()]

    def kill(self):
        """All that the user runs, as the power does."""
        for _ in range(200):
            pids = self.processes()
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
        raise AssertionError(f"they do not end: {pids}")


class Facts:
    def __init__(self, state, vms, images, kernels, daemon):
        self.state, self.vms, self.images, self.kernels, self.store = state, vms, images, kernels, daemon["store"]

    def names(self):
        """{vms: {name: (processors, are its disks there?)}, images, kernels}"""
        return {"vms": {vm["name"]: (vm["cpus"], vm["missing"] is None) for vm in self.vms}, "images": {i["name"] for i in self.images},
                "kernels": {k["name"] for k in self.kernels}}

    def unlisted(self):
        """Folders and blobs that no command says a word of."""
        known = {o["path"] for o in self.store["orphans"]}
        good = {"vms": {vm["id"] for vm in self.vms}, **{kind: names for kind, names in self.names().items() if kind != "vms"}}
        found = [f"{kind}/{name}" for kind, names in good.items() for name in listed(f"{self.state}/{kind}")
                 if name not in names and f"{kind}/{name}" not in known]
        named = {text for record in self.images + self.kernels for text in strings(record)}
        spare = [name for name in listed(self.state + "/blobs") if not any(name in path for path in named)]
        if len(spare) != self.store["unused"]["files"]:
            found.append(f"blobs that nothing names: {spare}; {self.store['unused']['files']} are counted")
        return found


def listed(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def strings(value):
    """All texts of a record."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(part)
