# SPDX-License-Identifier: ISC
"""Where the engine's one thread waits: strace over create, delete, image delete, prune and pull with large files.

    /usr/bin/python3 -B tests/bench/bench_waits.py [--assert] [GIB]

Run it as root, on ext4 for the worst case: TMPDIR says where. GIB is the size of an image (default 1, with --assert 4); a VM's disk has twice as
much, the layers that are pruned five times: all of it is real blocks, and less is taken, and said, where there is no room for it. The VM is
played by tests/lib/fake-vmm: the daemon, its workers and its files are real. Prints the longest calls of each part.

--assert (`scripts/check waits`): a call above 10 ms that is not the loop's own wait fails, unless it is one on a socket or a pipe, which waits
for no disk. strace and other work on the machine make every call look longer, so the kernel's scheduler is asked (tests/lib/schedtrace.py): how much of
a call the thread slept, that is, waited for something else than a processor or strace. A call that slept above 10 ms fails, however busy the
machine was, and one that ran that long, too. What it slept outside of calls, over pages of its own program that were not in memory, is printed.

Where the kernel does not tell (no tracefs), each part tells whether the machine was busy in it: of the calls
that cannot wait (NEVER) one took above 5 ms, or the thread was ready without a processor for 5 % of the part (its schedstat), or the hypervisor
took more than 2 % of the processors' time (steal of /proc/stat). A call above the limit in a part that was not busy fails. Is there none but in
busy parts, all is done once more with a fresh daemon and new files; then also fails what was above the limit both times: the same call in
the same part. So is one that only ran, and did not sleep, in a busy part: the hypervisor's time counts as its own.
"""
import argparse
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
from bench_pull import make_layout  # noqa: E402
from hostuser import HostUser, is_root  # noqa: E402
from kernels import write_vmlinux  # noqa: E402
from schedtrace import SchedTrace, usable  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build"))
GIB = 1 << 30
LINE = re.compile(r"^(\S+) (\w+)\((.*)\) += .* <([0-9.]+)>$")
IDLE = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
NO_DISK = re.compile(r"\d+<(socket|pipe|anon_inode):")  # the first argument, as strace -y shows it
LONGEST_S = 0.010
NOISE_S, READY, STEAL = 0.005, 0.05, 0.02
ROOM = 7  # so many times an image's size must be free
PATIENCE_S = 900
# These wait for nothing: how long they take is what strace and other work on the machine add to any call.
NEVER = ("epoll_ctl", "recvfrom", "recvmsg", "sendto", "sendmsg", "writev", "readv", "accept4", "fcntl", "getpid", "geteuid", "prlimit64",
         "rt_sigprocmask", "pidfd_open", "socketpair", "brk", "munmap", "mmap", "eventfd2", "getrandom", "ioctl")


class Call(typing.NamedTuple):
    """One of the thread's system calls."""
    took: float  # without the time that it was ready, or strace's, where that is known
    name: str
    args: str
    slept: float | None  # of that; None: nobody says

    def __str__(self):
        slept = "" if self.slept is None else f" (slept {self.slept * 1e3:.1f})"
        return f"{self.took * 1e3:8.1f} ms{slept}  {self.name}({self.args[:100]})"

    def cannot_wait(self):
        return self.name in NEVER or bool(NO_DISK.match(self.args))


class Trace:
    """strace of the engine while the block runs; what it did stands in calls, the longest first."""

    def __init__(self, pid, folder, sched):
        self.pid, self.path = pid, folder / "trace"
        self.sched = SchedTrace("bangerd-engine") if sched else None

    def waited(self):
        return int(pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    @staticmethod
    def processors():
        """(stolen, all) of the processors' time so far."""
        times = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return times[7], sum(times)

    def __enter__(self):
        self.path.unlink(missing_ok=True)
        if self.sched:
            self.sched.__enter__()
        self.process = subprocess.Popen(["strace", "-ttt", "-T", "-y", "-s", "80", "-o", self.path, "-p", str(self.pid)], stderr=subprocess.PIPE,
                                        text=True)
        assert "attached" in self.process.stderr.readline()
        self.ready, self.began, self.since = self.waited(), self.processors(), time.monotonic()
        return self

    def __exit__(self, *exc):
        self.ready = self.waited() - self.ready
        stolen, every = (b - a for a, b in zip(self.began, self.processors()))
        self.steal = stolen / max(every, 1)
        until = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.process.stderr.close()
        if self.sched:
            self.sched.__exit__(*exc)
        calls, self.outside = self.read(until)
        calls.sort(reverse=True, key=lambda call: call.took)
        self.calls = [c for c in calls if not c.cannot_wait()]
        self.noise = max((c.took for c in calls if c.cannot_wait()), default=0)
        self.busy = self.noise > NOISE_S or self.ready > READY * (until - self.since) or self.steal > STEAL

    def read(self, until):
        """(its calls but the loop's own wait, what it slept outside of any)."""
        clocks = time.time() - time.monotonic()
        lines = [m for m in map(LINE.match, self.path.read_text().splitlines()) if m]
        calls, inside, idle, rested = [], 0, 0, 0
        for m in lines:
            began, took = float(m[1]) - clocks, float(m[4])
            slept = self.sched.slept(began, began + took) if self.sched else None
            if self.sched:
                inside += self.sched.slept(began, began + took, "D")
            if m[2] in IDLE:
                idle, rested = idle + took, rested + (self.sched.off(began, began + took) if self.sched else 0)
                continue
            if self.sched:  # what it ran, and what it slept
                took = slept + max(took - self.sched.off(began, began + took), 0)
            calls.append(Call(took, m[2], m[3], slept))
        if not self.sched:
            return calls, 0
        assert rested > idle / 2, f"the scheduler's words are of another thread: {rested} of {idle} s"
        return calls, self.sched.slept(self.since, until, "D") - inside


class Wait(typing.NamedTuple):
    part: str
    call: str
    text: str
    busy: bool  # the machine was, in that part

    def __str__(self):
        return f"{self.part}: {self.text}"

    def is_like(self, others):
        return any((o.part, o.call) == (self.part, self.call) for o in others)


class Waits:
    def __init__(self, user, folder, gib):
        self.user, self.folder, self.size = user, folder, int(gib * GIB)
        self.banger = os.path.join(BUILD, "cli", "banger")
        self.env = user.env(BANGER_FAKE_VMM=os.path.join(BUILD, "tests", "lib", "fake-vmm"))
        self.all, self.failed = [], []
        why = usable()
        self.sched = not why
        if why:
            print(f"waits: the scheduler does not say what is a wait for a processor: {why}", flush=True)

    def run(self, *args):
        done = self.user.run([self.banger, *args], env=self.env, capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout

    def own(self, *paths):
        for path in paths:
            os.chown(path, self.user.uid, self.user.gid)

    def fill(self, path, size):
        """Real blocks, on the disk."""
        with open(path, "r+b" if os.path.exists(path) else "wb") as f:
            block = os.urandom(1 << 20)
            for _ in range(size // len(block)):
                f.write(block)
            f.flush()
            os.fsync(f.fileno())
        self.own(path)

    def image(self):
        """A file system whose free blocks are full of data all the same."""
        path = os.path.join(self.user.home, "rootfs.ext4")
        self.fill(path, self.size)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1", path], check=True, stdout=subprocess.DEVNULL)
        return path

    def part(self, name, call):
        pid = json.loads(self.run("daemon", "status", "--json"))["pid"]
        began = time.perf_counter()
        with Trace(pid, self.folder, self.sched) as trace:
            call()
        print(f"\n{name}: {time.perf_counter() - began:.1f} s, {len(trace.calls)} calls that may wait; the longest that cannot: "
              f"{trace.noise * 1e3:.1f} ms; ready without a processor: {trace.ready * 1e3:.0f} ms; stolen: {trace.steal * 100:.1f} %",
              flush=True)
        for traced in trace.calls[:10]:
            print(f"  {traced}", flush=True)
        if trace.outside > LONGEST_S:
            print(f"  {trace.outside * 1e3:8.1f} ms  asleep outside of calls", flush=True)
        self.all += [(c.took, name, c) for c in trace.calls if c.took > 0.001]
        self.failed += [Wait(name, c.name, str(c), trace.busy and not (c.slept or 0) > LONGEST_S) for c in trace.calls if c.took > LONGEST_S]

    def state(self, *names):
        return os.path.join(self.user.home, ".local", "state", "banger", *names)

    def fill_disk(self):
        [disk] = glob.glob(self.state("vms", "*", "root.img"))
        self.fill(disk, 2 * self.size)

    def fill_layers(self):
        folder = os.path.join(self.user.home, ".cache", "banger", "blobs", "sha256")
        os.makedirs(folder, exist_ok=True)
        for path in (os.path.dirname(folder), folder):
            self.own(path)
        for i in range(20):
            self.fill(os.path.join(folder, f"{i:064x}"), self.size // 4)

    def quiet(self):
        """Until what was thrown away is gone and written: each part begins on a calm disk."""
        self.until(lambda: not any(glob.glob(os.path.join(t, "*"))
                                   for t in (self.state("trash"), os.path.join(self.user.home, ".cache/banger/trash"))))
        os.sync()

    @staticmethod
    def until(condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "that took too long"
            time.sleep(0.1)

    def cancelled(self, pattern, *args):
        """A command that is interrupted when a quarter of its large file is there, and then what it leaves."""
        def begun():
            return any(os.stat(p).st_blocks * 512 > self.size // 4 for p in glob.glob(self.state(pattern)))

        client = self.user.popen([self.banger, *args], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.until(lambda: begun() or client.poll() is not None)
            assert client.poll() is None, f"{args} was over before it could be interrupted"
            client.send_signal(signal.SIGINT)
            client.wait(PATIENCE_S)
        finally:
            client.kill()
            client.wait()
        self.quiet()

    def measure(self):
        kernel = os.path.join(self.user.home, "vmlinux")
        write_vmlinux(kernel)
        self.own(kernel)
        config = os.path.join(self.user.home, ".config", "banger")
        os.makedirs(config)
        pathlib.Path(config, "config.toml").write_text('storage = "copy"\n')
        self.own(os.path.dirname(config), config)
        self.run("kernel", "import", kernel, "--name", "k")
        self.run("image", "register", "--name", "big", "--rootfs", self.image(), "--kernel-ref", "k")
        self.part("image promote, cancelled", lambda: self.cancelled("images/big/rootfs.ext4", "image", "promote", "big"))
        self.part("image promote", lambda: self.run("image", "promote", "big"))
        self.quiet()
        os.unlink(os.path.join(self.user.home, "rootfs.ext4"))
        self.part("vm create, cancelled", lambda: self.cancelled("vms/*/root.img.new", "vm", "create", "web", "--image", "big"))
        self.part("vm create, storage copy", lambda: self.run("vm", "create", "web", "--image", "big"))
        self.run("vm", "stop", "web")
        self.fill_disk()
        self.part("vm delete", lambda: (self.run("vm", "delete", "web"), self.quiet()))
        self.part("vm create beside a busy disk", lambda: self.run("vm", "create", "web", "--image", "big"))
        self.part("vm delete, still not written", lambda: (self.run("vm", "delete", "web"), self.quiet()))
        self.part("image export", lambda: self.run("image", "export", "big", self.user.home + "/bundle"))
        self.part("image import", lambda: self.run("image", "import", self.user.home + "/bundle", "--name", "twice"))
        os.unlink(self.user.home + "/bundle")
        self.run("image", "delete", "twice")
        self.quiet()
        self.part("image delete", lambda: (self.run("image", "delete", "big"), self.quiet()))
        self.fill_layers()
        self.part("image prune", lambda: (self.run("image", "prune"), self.quiet()))
        self.part("image pull", lambda: self.run("image", "pull", self.layout(), "--name", "pulled"))
        self.quiet()
        self.part("image delete of what was pulled", lambda: (self.run("image", "delete", "pulled"), self.quiet()))

    def layout(self):
        tar = self.folder / "layer.tar"
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            self.fill(os.path.join(name, "data"), self.size // 8)
            subprocess.run(["tar", "-cf", tar, "-C", name, "data"], check=True)
        layer = subprocess.run(["gzip", "-1", "-c", tar], stdout=subprocess.PIPE, check=True).stdout
        os.chmod(self.folder, 0o755)
        return make_layout(self.folder / "source", [layer])

    def end(self):
        self.user.run([self.banger, "daemon", "stop"], env=self.env, capture_output=True)
        print("\nthe ten longest of all:", flush=True)
        for _, name, call in sorted(self.all, key=lambda one: one[0], reverse=True)[:10]:
            print(f"  {name}: {call}", flush=True)


def room_for(gib, folder):
    """As much of it as fits."""
    fits = shutil.disk_usage(folder).free / GIB / ROOM
    if fits >= gib:
        return gib
    print(f"waits: {folder} has room for images of {fits:.1f} GiB only, not {gib}", flush=True)
    return fits


def measure(gib):
    with tempfile.TemporaryDirectory(prefix="bench-waits-") as name, HostUser("bgt-waits", groups=["banger"], loop_limit_ms=None) as user:
        waits = Waits(user, pathlib.Path(name), room_for(gib, user.home))
        print(f"waits: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, an image of {waits.size / GIB:.1f} GiB", flush=True)
        try:
            waits.measure()
        finally:
            waits.end()
        return waits


def judge(gib):
    """What was above the limit, in words."""
    first = measure(gib)
    sure = [str(w) for w in first.failed if not w.busy]
    if sure or not first.failed:
        return sure
    print("\nwaits: the machine was busy; once more. So far:", *first.failed, sep="\n  ", flush=True)
    second = measure(gib)
    return [str(w) for w in second.failed if not w.busy or w.is_like(first.failed)]


def test_no_call_of_the_loop_waits_for_a_disk():
    assert judge(4) == []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--assert", action="store_true", dest="judge")
    parser.add_argument("gib", nargs="?", type=float)
    args = parser.parse_args()
    if not is_root():
        sys.exit("bench_waits: run it as root: it traces another user's daemon")
    if not args.judge:
        measure(args.gib or 1)
        return
    failed = judge(args.gib or 4)
    if failed:
        sys.exit("waits: calls above 10 ms:\n  " + "\n  ".join(failed))


if __name__ == "__main__":
    main()
