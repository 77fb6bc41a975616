# SPDX-License-Identifier: ISC
"""What banger costs, measured on this machine: run by `scripts/check bench`, or as root by itself.

Times are shown beside what the same machine needs for /bin/true in the same run: a ratio survives a noisy machine, a
number does not. Nothing is asserted here. Twenty VMs are played by tests/lib/fake-vmm: the daemon is real, QEMU is not.
A thousand stopped ones are folders with records (tests/lib/records.py).
"""
import json
import os
import statistics
import subprocess
import sys
import time

MIB = 1 << 20
ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from hostuser import HostUser, is_root  # noqa: E402
from kernels import COW, write_vmlinux  # noqa: E402
from records import make_vms  # noqa: E402
from unixhttp import Connection  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build"))
ROUNDS, VMS, MANY = 200, 20, 1000
IMAGES_MIB = (64, 512)  # of data: what creation costs on each storage, by the image's size
SETTLE_S, IDLE_S = 35, 30  # who reads records is answered faster for 30 s: that is waited out


class Api(Connection):
    def get(self, target):
        self.request("GET", target)
        return json.loads(self.getresponse().read())


def spread(samples):
    samples = sorted(samples)
    return statistics.median(samples), samples[int(len(samples) * 0.95)]


def time_call(call, rounds):
    samples = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        samples.append(time.perf_counter() - began)
    return spread(samples)


def time_program(argv, env, rounds=ROUNDS):
    """Whole processes, by posix_spawn, so that this program's size does not count."""
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]

    def call():
        _, status = os.waitpid(os.posix_spawn(argv[0], argv, env, file_actions=null), 0)
        assert status == 0, (argv, status)

    return time_call(call, rounds)


def memory_kib(pid):
    """Resident, and the share of it that is not other processes' too (Pss)."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        sizes = {line.split()[0]: int(line.split()[1]) for line in f if line.endswith("kB\n")}
    return sizes["Rss:"], sizes["Pss:"]


def switches(pid):
    """How often it has gone to sleep: each is a wake-up."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))


def show(name, value, unit, ratio=None):
    print(f"  {name:<52} {value:>9} {unit}" + (f"   {ratio:.1f} x /bin/true" if ratio else ""), flush=True)


class Bench:
    def __init__(self, user):
        self.user = user
        self.banger = os.path.join(BUILD, "cli", "banger")
        self.env = user.env(BANGER_FAKE_VMM=os.path.join(BUILD, "tests", "lib", "fake-vmm"))

    def run(self, *args):
        done = self.user.run([self.banger, *args], env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_assets(self):
        kernel = os.path.join(self.user.home, "vmlinux")
        write_vmlinux(kernel, words=COW)
        rootfs = os.path.join(self.user.home, "rootfs.ext4")
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", rootfs, "64M"], check=True, stdout=subprocess.DEVNULL)
        for path in (kernel, rootfs):
            os.chown(path, self.user.uid, self.user.gid)
        self.run("kernel", "import", kernel, "--name", "k")
        self.run("image", "register", "--name", "default", "--rootfs", rootfs, "--kernel-ref", "k")

    def memory(self, title):
        status = json.loads(self.run("daemon", "status", "--json"))
        for name, pid in (("engine", status["pid"]), ("monitor", status["monitor_pid"])):
            rss, pss = memory_kib(pid)
            show(f"bangerd {name}, {title}: resident / its share", f"{rss / 1024:.1f} / {pss / 1024:.1f}", "MiB")

    def idle(self):
        status = json.loads(self.run("daemon", "status", "--json"))
        pids = {"engine": status["pid"], "monitor": status["monitor_pid"]}
        time.sleep(SETTLE_S)
        before = {name: switches(pid) for name, pid in pids.items()}
        time.sleep(IDLE_S)
        for name, pid in pids.items():
            show(f"bangerd {name}, {VMS} idle VMs: wake-ups in {IDLE_S} s", switches(pid) - before[name], "")

    def cli(self):
        base = time_program(["/bin/true"], self.env)
        listed = time_program([self.banger, "vm", "list"], self.env)
        show("/bin/true, whole process, p50 / p95", f"{base[0] * 1e3:.2f} / {base[1] * 1e3:.2f}", "ms")
        show("vm list, whole process, p50 / p95", f"{listed[0] * 1e3:.2f} / {listed[1] * 1e3:.2f}", "ms",
             listed[0] / base[0])

    def many(self):
        """A state folder with a thousand stopped VMs: lists, and starts of the daemon. The issue's bounds: 60 and 150 ms on a quiet machine."""
        base = time_program(["/bin/true"], self.env, 50)
        table = time_program([self.banger, "vm", "list"], self.env, 50)
        whole = time_program([self.banger, "vm", "list", "--json"], self.env, 20)
        show(f"vm list with {MANY} VMs, whole process, p50 / p95", f"{table[0] * 1e3:.1f} / {table[1] * 1e3:.1f}", "ms", table[0] / base[0])
        show(f"vm list --json with {MANY} VMs, p50 / p95", f"{whole[0] * 1e3:.1f} / {whole[1] * 1e3:.1f}", "ms", whole[0] / base[0])
        starts = []
        for _ in range(10):
            self.run_as_self("daemon", "stop")
            began = time.perf_counter()
            self.run_as_self("vm", "show", "many0000", "--json")
            starts.append(time.perf_counter() - began)
        show(f"daemon start with {MANY} VMs and one answer, p50 / p95", "{:.0f} / {:.0f}".format(*(s * 1e3 for s in spread(starts))), "ms",
             spread(starts)[0] / base[0])

    def api(self, path):
        api = Api(path)
        one = time_call(lambda: api.get("/v1/daemon"), ROUNDS * 5)
        every = time_call(lambda: api.get("/v1/vms"), ROUNDS * 5)
        show("GET /v1/daemon, kept-alive, p50 / p95", f"{one[0] * 1e6:.0f} / {one[1] * 1e6:.0f}", "us")
        show(f"GET /v1/vms with {VMS} VMs, p50 / p95", f"{every[0] * 1e6:.0f} / {every[1] * 1e6:.0f}", "us")

    def create(self):
        began = time.perf_counter()
        self.run("vm", "create", "vm0", "--memory", "256M")
        show("vm create to ready, fake VMM, storage auto", f"{(time.perf_counter() - began) * 1e3:.0f}", "ms")
        for n in range(1, VMS):
            self.run("vm", "create", f"vm{n}", "--memory", "256M")

    def storage(self, driver):
        """`vm create --no-start` of images of two sizes: all of it that is not the VMM or the guest, and what it takes on the disk."""
        folder = self.user.home + "/.config/banger"
        self.user.run(["mkdir", "-p", folder], check=True)
        self.user.run(["sh", "-c", f"echo 'storage = \"{driver}\"' >{folder}/config.toml"], check=True)
        self.run("daemon", "stop")
        if self.user.run([self.banger, "daemon", "start"], env=self.env, capture_output=True).returncode != 0:
            print(f"  {driver}: not on this file system")
            return
        for mib in IMAGES_MIB:
            image, samples = f"data{mib}", []
            n_vms = 4 if driver == "copy" else VMS
            for n in range(n_vms):
                began = time.perf_counter()
                self.run("vm", "create", f"s{n}", "--image", image, "--no-start")
                samples.append(time.perf_counter() - began)
            paths = json.loads(self.run("vm", "show", "s0", "--json"))["paths"]
            taken = os.stat(paths["disk"]).st_blocks * 512
            show(f"vm create --no-start, {driver}, {mib} MiB of image, p50 / p95",
                 "{:.0f} / {:.0f}".format(*(s * 1e3 for s in spread(samples))), f"ms   {taken / MIB:.1f} MiB each")
            for n in range(n_vms):
                self.run("vm", "delete", f"s{n}")

    def storages(self):
        for mib in IMAGES_MIB:
            tree, rootfs = (os.path.join(self.user.home, name) for name in (f"tree{mib}", f"data{mib}.ext4"))
            self.user.run(["mkdir", tree], check=True)
            self.user.run(["dd", "if=/dev/urandom", f"of={tree}/data", "bs=1M", f"count={mib}", "status=none"], check=True)
            self.user.run(["/usr/sbin/mkfs.ext4", "-q", "-d", tree, rootfs, f"{mib + 64}M"], check=True)
            self.run("image", "register", "--name", f"data{mib}", "--rootfs", rootfs, "--kernel-ref", "k")
        for driver in ("guest-cow", "copy", "reflink"):
            self.storage(driver)
        self.user.run(["rm", self.user.home + "/.config/banger/config.toml"], check=True)

    def all(self):
        self.make_assets()
        self.memory("idle")
        self.create()
        self.memory(f"with {VMS} VMs")
        self.idle()
        self.as_user(lambda: (self.cli(), self.api(self.run_as_self("daemon", "socket").strip())))
        for n in range(VMS):
            self.run("vm", "delete", f"vm{n}", "--force")
        self.storages()
        self.run("daemon", "stop")
        make_vms(os.path.join(self.user.home, ".local", "state", "banger"), MANY, owner=(self.user.uid, self.user.gid))
        self.run("vm", "list")
        self.as_user(self.many)

    def as_user(self, call):
        """Lists are asked for as the user: a child becomes it."""
        pid = os.fork()
        if pid == 0:
            try:
                os.environ.update(self.env)
                self.user.become()
                call()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    def run_as_self(self, *args):
        return subprocess.run([self.banger, *args], env=self.env, check=True, capture_output=True, text=True).stdout

    def end(self):
        for n in range(VMS):
            self.user.run([self.banger, "vm", "delete", f"vm{n}", "--force"], env=self.env, capture_output=True)
        self.user.run([self.banger, "daemon", "stop"], env=self.env, capture_output=True)


def main():
    if not is_root():
        sys.exit("bench: run it as root: it makes a user to measure as")
    print(f"bench: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with HostUser("bgt-bench", groups=["banger"], loop_limit_ms=None) as user:
        bench = Bench(user)
        try:
            bench.all()
        finally:
            bench.end()


main()
