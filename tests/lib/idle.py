# SPDX-License-Identifier: ISC
"""What is counted where nothing is done: wake-ups and system calls of bangerd's processes, beside VMs that tests/lib/fake-vmm plays."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from kernels import write_vmlinux


class FakeVMs:
    """VMs of one user. banger is the CLI as that user: its arguments in, what subprocess.run gives out."""

    def __init__(self, banger, user):
        self.banger, self.user, self.names = banger, user, []

    def ok(self, *args):
        done = self.banger(*args)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def make(self, count):
        kernel, rootfs = (os.path.join(self.user.home, name) for name in ("vmlinux", "rootfs.ext4"))
        write_vmlinux(kernel)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", rootfs, "16M"], check=True, stdout=subprocess.DEVNULL)
        for path in (kernel, rootfs):
            os.chown(path, self.user.uid, self.user.gid)
        self.ok("kernel", "import", kernel, "--name", "k")
        self.ok("image", "register", "--name", "default", "--rootfs", rootfs, "--kernel-ref", "k")
        for i in range(count):
            self.names.append(f"vm{i}")
            self.ok("vm", "create", self.names[-1], "--memory", "128M")

    def end(self):
        for name in self.names:
            self.banger("vm", "delete", "--force", name)


def title(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    except OSError:
        return ""


def children(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def parts(uid):
    """{title: pid} of a user's bangerd: the monitor and all below it that plays no VM; nothing while there are two."""
    monitors = [int(d.name) for d in pathlib.Path("/proc").iterdir()
                if d.name.isdigit() and title(d.name) == "bangerd: monitor" and d.stat().st_uid in (0, uid) and owner(d.name) == uid]
    monitors = set(monitors).difference(*map(children, monitors))  # a child has its parent's title until it has its own
    found, queue = {}, list(monitors) if len(monitors) == 1 else []  # two: one is ending
    while queue:
        pid = queue.pop()
        name = title(pid)
        if " -name banger-" not in name:
            found[name] = pid
            queue += children(pid)
    return found


def owner(pid):
    """Of a process whose files are root's because it is not dumpable."""
    return int(re.search(r"^Uid:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def switches(pid):
    """{thread: how often it has gone to sleep}: each is a wake-up."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            found[task.name] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)[1])
        except OSError:
            pass  # a thread that ended meanwhile
    return found


def woken(before, after):
    """How often in between; threads that have ended are left out."""
    return sum(count - before.get(thread, 0) for thread, count in after.items())


def wakes(pid, seconds):
    """How often a second."""
    before = switches(pid)
    time.sleep(seconds)  # what is measured is this time itself
    return woken(before, switches(pid)) / seconds


def looks(pid, bound, seconds=20, count=5):
    """Wake-ups a second, look by look until one is within the bound: other work on the host makes more of them, never fewer."""
    seen = []
    while len(seen) < count and (not seen or min(seen) > bound):
        seen.append(wakes(pid, seconds))
    return seen


def is_asleep(pid):
    """Whether it did not wake for a while: what a start brings is over."""
    before = switches(pid)
    time.sleep(1)
    return switches(pid) == before


def traced(pids, seconds):
    """{system call: how often} of all those processes together, over this time: strace -c."""
    with tempfile.NamedTemporaryFile("r") as table:
        argv = ["strace", "-c", "-U", "name,calls", "-o", table.name]
        tracer = subprocess.Popen([*argv, *(word for pid in pids for word in ("-p", str(pid)))], stderr=subprocess.PIPE, text=True)
        for _ in pids:
            line = tracer.stderr.readline()
            assert "attached" in line, line
        time.sleep(seconds)  # what is counted is this time itself
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)
        return {name: int(n) for name, n in re.findall(r"^(\w+)\s+(\d+)$", table.read(), re.M) if name != "total"}


# ---- one VMM, with its guest ----

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Watch:
    """What VMMs take, minute by minute: {name: [(share of a processor, wake-ups a second), ...]}."""

    def __init__(self, pids):
        self.pids, self.minutes = pids, {name: [] for name in pids}
        self._look()

    def _look(self):
        self.at = time.monotonic()
        self.last = {name: (cpu_seconds(pid), switches(pid)) for name, pid in self.pids.items()}

    def run(self, minutes, each=lambda minute: None):
        for minute in range(1, minutes + 1):
            time.sleep(max(0, self.at + 60 - time.monotonic()))  # what is measured is this time itself
            before, began = self.last, self.at
            self._look()
            seconds = self.at - began
            for name, (cpu, now) in self.last.items():
                self.minutes[name].append(((cpu - before[name][0]) / seconds, woken(before[name][1], now) / seconds))
            each(minute)
        return self.minutes


def sizes(record):
    """{"disk", "work": bytes on the host's disk} of a VM, as `vm show --json` names them."""
    return {key: os.stat(record["paths"][key]).st_blocks * 512 for key in ("disk", "work")}


LIFETIME = ("for p in / /root; do d=$(awk -v p=$p '$2 == p && $1 ~ \"^/dev/\" { print $1 }' /proc/mounts); "
            "cat /sys/fs/ext4/${d##*/}/lifetime_write_kbytes; done")


def bare_qemu(argv, folder, disks, initrd):
    """The command line of a VM's QEMU, for the same kernel, guest and machine without bangerd: nobody is on its sockets, its disks are those."""
    out, words = [], iter(argv)
    for word in words:
        if word == "-add-fd":
            next(words)
            continue
        out.append(word)
    text = "\0".join(out)
    text = re.sub(r"path=/dev/fdset/\d+", f"path={folder}/serial.log", text)
    for name, path in disks.items():
        text = re.sub(rf'("node-name":"{name}".*?"filename":")/dev/fdset/\d+', lambda m: m[1] + path, text)
    text = re.sub(r"(socket,id=(\w+),server=on,wait=off),fd=\d+", lambda m: f"{m[1]},path={folder}/{m[2]}.sock", text)
    text = re.sub(r"tap,id=net0,fd=\d+", "tap,id=net0,ifname=bgtbare,script=no,downscript=no", text)
    text = re.sub(r"(-initrd\0)[^\0]+", lambda m: m[1] + initrd, text)
    assert "/dev/fdset/" not in text, text
    return text.split("\0")


class Bare:
    """A VMM as somebody starts it by hand, with what a VM of banger's was made of."""

    def __init__(self, folder):
        self.folder, self.process = str(folder), None
        subprocess.run(["ip", "tuntap", "add", "bgtbare", "mode", "tap"], check=True)
        subprocess.run(["ip", "link", "set", "bgtbare", "up"], check=True)

    def copy(self, source, name, size=None):
        path = os.path.join(self.folder, name)
        subprocess.run(["cp", "--sparse=always", source, path], check=True)
        os.chmod(path, 0o600)
        if size:
            os.truncate(path, size)
        return path

    def start(self, argv):
        with open(os.path.join(self.folder, "vmm.log"), "w") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.process.pid

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        subprocess.run(["ip", "link", "delete", "bgtbare"])
