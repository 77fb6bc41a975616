# SPDX-License-Identifier: ISC
"""What VMs cost while nobody uses them: run by `scripts/check idle`, or as root by itself, after scripts/quickstart:

    /usr/bin/python3 -B tests/bench/bench_idle.py [--minutes M] [--real N,...] [--played N,...] [--kernel NAME] [--image NAME]

Played: so many VMs of tests/lib/fake-vmm (20, and 200 of four users), and what bangerd's processes do in a minute. Real: so many guests of quickstart's
image (1 and 10) under the VMM that this host has; what each takes minute by minute, beside a VMM that was started by hand, at the same time,
with the same kernel, machine and disks, and has no bangerd. The guests are left alone for M minutes (10). tests/lab/test_idle.py is the
same for Firecracker. Nothing is asserted here.
"""
import argparse
import contextlib
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from hostuser import HostUser, is_root  # noqa: E402
from idle import LIFETIME, Bare, FakeVMs, Watch, bare_qemu, parts, sizes, switches, traced, woken  # noqa: E402

BUILD = os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build"))
BOOT_S = 900
PINGS_BEGIN_S = 65  # after a minute without a word agents are asked again, one at a time
MIB = 1 << 20
USER_VMS = 50


def show(name, value):
    print(f"  {name:<66} {value}", flush=True)


# ---- played ----

class Share:
    """One user's part of the played VMs: a user has 64 network slots at most."""

    def __init__(self, user, count):
        env = user.env(BANGER_FAKE_VMM=os.path.join(BUILD, "tests", "lib", "fake-vmm"))
        self.vms = FakeVMs(lambda *args: user.run([os.path.join(BUILD, "cli", "banger"), *args], env=env, capture_output=True, text=True), user)
        self.count = count

    def begin(self):
        self.vms.make(self.count)
        self.vms.ok("daemon", "restart")  # an engine that nobody has asked for records

    def look(self):
        found = parts(self.vms.user.uid)
        self.main = [found.pop("bangerd: engine"), found.pop("bangerd: monitor")]
        self.others = {pid: switches(pid) for pid in found.values()}

    def woken(self):
        return sum(woken(before, switches(pid)) for pid, before in self.others.items())

    def end(self):
        self.vms.end()
        self.vms.banger("daemon", "stop")


def played(count):
    users = -(-count // USER_VMS)
    with contextlib.ExitStack() as stack:
        shares = []
        for i in range(users):
            user = stack.enter_context(HostUser(f"bgt-idle{i}", groups=["banger"], loop_limit_ms=None))
            shares.append(Share(user, min(USER_VMS, count - i * USER_VMS)))
            stack.callback(shares[-1].end)
            shares[-1].begin()
        time.sleep(PINGS_BEGIN_S)
        for share in shares:
            share.look()
        calls = traced([pid for share in shares for pid in share.main], 60)
        show(f"{count} played VMs, {users} bangerd: engine and monitor, a minute",
             f"{calls['epoll_wait']} returns of epoll_wait, {sum(calls.values())} system calls")
        show("", ", ".join(f"{name} {n}" for name, n in sorted(calls.items(), key=lambda c: -c[1])))
        show("store and helpers: wake-ups", sum(share.woken() for share in shares))


# ---- real ----

def banger(*args, timeout=BOOT_S):
    done = subprocess.run([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), *args], capture_output=True,
                          text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (args, done.stderr)
    return done.stdout


def record_of(name):
    return json.loads(banger("vm", "show", name, "--json"))


class Twin:
    """The bare VMM: made of what a VM is made of, taken when its own VMM has just begun."""

    def __init__(self, name):
        self.name, self.folder = name, tempfile.TemporaryDirectory(prefix="bench-idle-")
        self.bare = Bare(self.folder.name)
        self.error = None

    def _take(self):
        def pid():
            try:
                return record_of(self.name)["pid"]
            except AssertionError:
                return None
        while not pid():
            time.sleep(0.2)
        record = record_of(self.name)
        os.kill(record["pid"], signal.SIGSTOP)
        try:
            disks = {"root": self.bare.copy(record["paths"]["disk"], "root.img"), "work": self.bare.copy(record["paths"]["work"], "work.img")}
            modules = [link for link in map(os.readlink, glob.glob(f"/proc/{record['pid']}/fd/*")) if "/blobs/" in link]
            if modules:
                disks["modules"] = modules[0]
            initrd = self.bare.copy(os.path.join(record["paths"]["dir"], "initrd"), "initrd")
            with open(f"/proc/{record['pid']}/cmdline") as f:
                self.argv = bare_qemu(f.read().rstrip("\0").split("\0"), self.folder.name, disks, initrd)
        finally:
            os.kill(record["pid"], signal.SIGCONT)

    def take(self):
        thread = threading.Thread(target=self._take, daemon=True)
        thread.start()
        return thread

    def end(self):
        self.bare.end()
        self.folder.cleanup()


def line(minutes):
    return " ".join(f"{share * 100:.1f} %/{wakes:.1f}" for share, wakes in minutes)


def tell(names, minutes, at_ready, records):
    all_of = [statistics.mean(minutes[name][i][0] for name in names) for i in range(len(minutes[names[0]]))]
    show("first VM, minute by minute: processor / wake-ups a second", line(minutes[names[0]]))
    show("bare VMM, the same", line(minutes["bare"]))
    late = slice(len(all_of) // 2, None)
    mine, bare = statistics.mean(all_of[late]), statistics.mean(share for share, _ in minutes["bare"][late])
    show("processor, second half: a VM's / the bare one's / ratio", f"{mine * 100:.2f} % / {bare * 100:.2f} % / {mine / bare:.2f}")
    show("minute 1 to the last one", f"{all_of[0] / all_of[-1]:.2f}")
    grown = [{key: (sizes(records[name])[key] - at_ready[name][key]) / MIB for key in ("disk", "work")} for name in names]
    show("grown since create, most of all VMs", f"root {max(g['disk'] for g in grown):.1f} MiB, work {max(g['work'] for g in grown):.1f} MiB")
    written = [int(w) / 1024 for name in names for w in banger("vm", "exec", name, "--", "sh", "-c", LIFETIME).split()]
    show("lifetime writes of / and /root, most", f"{max(written):.1f} MiB")


def real(count, minutes, more):
    names = [f"bench-idle{i}" for i in range(count)]
    twin = Twin(names[0])
    try:
        taking = twin.take()
        for name in names:
            banger("vm", "create", name, "--memory", "512M", "--cpus", "1", *more)
        taking.join()
        records = {name: record_of(name) for name in names}
        at_ready = {name: sizes(record) for name, record in records.items()}
        show(f"{count} real VMs, {records[names[0]]['vmm']}, {records[names[0]]['accel']}, {records[names[0]]['storage']}", "")
        pids = {name: record["pid"] for name, record in records.items()}
        pids["bare"] = twin.bare.start(twin.argv)
        tell(names, Watch(pids).run(minutes), at_ready, records)
        assert twin.bare.process.poll() is None, "the bare VMM has ended"
    finally:
        twin.end()
        for name in names:
            subprocess.run([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "delete", "--force", name],
                           capture_output=True)


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def main():
    if not is_root():
        sys.exit("bench_idle: run it as root: it makes a user, and traces bangerd")
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--real", type=numbers, default=[1, 10])
    parser.add_argument("--played", type=numbers, default=[20, 200])
    parser.add_argument("--kernel")
    parser.add_argument("--image")
    args = parser.parse_args()
    print(f"idle: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    for count in args.played:
        played(count)
    more = [*(["--kernel", args.kernel] if args.kernel else []), *(["--image", args.image] if args.image else [])]
    for count in args.real:
        real(count, args.minutes, more)


if __name__ == "__main__":
    main()
