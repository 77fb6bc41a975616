# SPDX-License-Identifier: ISC
"""The N-th system call of a kind fails, in the engine, the store or a worker, while a command runs: it succeeds, or says why it does not; and
what banger shows then is what it shows after a kill -9: nothing acknowledged is lost, nothing else is there."""
import collections
import os
import signal
import subprocess

import pytest

from conftest import DAY, SHARE, Host, share_of, wait_for

KINDS = {
    "write": ("write,pwrite64,writev", ("ENOSPC", "EIO")),
    "sync": ("fsync,fdatasync,syncfs", ("EIO", "ENOSPC")),
    "open": ("openat,open", ("EMFILE", "ENOSPC", "EIO")),
    "rename": ("rename,renameat,renameat2", ("EIO", "ENOSPC")),
    "make": ("mkdir,mkdirat,unlink,unlinkat", ("EIO", "ENOSPC")),
    "accept": ("accept,accept4", ("EMFILE", "ENOMEM")),
    "memory": ("mmap,brk", ("ENOMEM",)),
}
# What workers do to disks, and the engine, whose children they are, never does.
WORKER_KINDS = {
    "disk": ("pwrite64,pwritev,copy_file_range,ftruncate,fallocate", ("ENOSPC", "EIO")),
    "sync": ("fsync,fdatasync,sync_file_range", ("EIO", "ENOSPC")),
}
ROLES = {"engine": KINDS, "store": KINDS, "worker": WORKER_KINDS}
Point = collections.namedtuple("Point", "role kind n errno")


class Trace:
    """strace of one process while the block runs; a worker's is the engine's with all that it starts."""

    def __init__(self, pids, role, path, *options):
        self.argv = ["strace", "-o", path, *options, *(["-f"] if role == "worker" else []), "-p", str(pids["engine" if role == "worker" else role])]
        self.path = path

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stderr=subprocess.PIPE, text=True)
        assert "attached" in self.process.stderr.readline()
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.process.stderr.close()
        with open(self.path) as f:
            self.lines = f.readlines()


class Bed:
    """A daemon with what each command needs, made once."""

    def __init__(self, user):
        self.host = host = Host(user)
        host.make_image()
        host.make_vm("a", "--no-start")
        self.bundle = user.home + "/bundle"
        host.banger("image", "export", "r", self.bundle)
        self.failed, self.tried = [], 0

    def ops(self):
        return self.host.ask("/v1/operations")[0]["operations"]

    def pids(self):
        [daemon] = self.host.ask("/v1/daemon")
        return {"engine": daemon["pid"], "store": daemon["store"]["pid"]}

    def shown(self):
        """Once nothing is under way any more: a client that went away does not end its command."""
        self.host.banger("vm", "list", "--quiet")  # waits for an engine
        wait_for(lambda: all(op["state"] != "running" for op in self.ops()))
        facts = self.host.facts()
        return facts, (facts.names(), {vm["name"]: vm["state"] for vm in facts.vms})


def vm_state(shown, name):
    return shown[1].get(name)


class Create:
    def command(self, bed):
        return "vm", "create", "x", "--image", "r", "--cpus", "1", "--memory", "128M", "--no-start"

    def done(self, shown):
        return vm_state(shown, "x") == "stopped"

    def clean(self, bed, shown):
        if vm_state(shown, "x"):
            bed.host.banger("vm", "delete", "x", "--force")


class Start:
    def command(self, bed):
        return "vm", "start", "a"

    def done(self, shown):
        return vm_state(shown, "a") == "running"

    def clean(self, bed, shown):
        bed.host.banger("vm", "kill", "a", ok=False)


class Set:
    cpus = 1

    def command(self, bed):
        self.cpus = 3 - self.cpus
        return "vm", "set", "a", "--cpus", str(self.cpus)

    def done(self, shown):
        return shown[0]["vms"]["a"][0] == self.cpus

    def clean(self, bed, shown):
        self.cpus = shown[0]["vms"]["a"][0]


class Delete:
    def command(self, bed):
        if "x" not in bed.shown()[1][1]:
            bed.host.banger(*Create().command(bed))
        return "vm", "delete", "x"

    def done(self, shown):
        return vm_state(shown, "x") is None

    def clean(self, bed, shown):
        pass


class Import:
    name = "i"

    def command(self, bed):
        return "image", "import", bed.bundle, "--name", "i"

    def done(self, shown):
        return self.name in shown[0]["images"]

    def clean(self, bed, shown):
        if self.name in shown[0]["images"]:
            bed.host.banger("image", "delete", self.name)


class Pull(Import):
    name = "p"

    def command(self, bed):
        return "image", "pull", bed.host.layout, "--name", "p", "--kernel-ref", "k"


COMMANDS = {"create": Create, "start": Start, "set": Set, "delete": Delete, "import": Import, "pull": Pull}


def count(bed, command, path):
    """How often each process makes calls of each kind, while the command runs by itself."""
    most = {}
    for role, kinds in ROLES.items():
        names = {call: kind for kind, (calls, _) in kinds.items() for call in calls.split(",")}
        words = command.command(bed)
        with Trace(bed.pids(), role, path, "-e", "trace=" + ",".join(names)) as trace:
            bed.host.banger(*words)
        lines = [line.split("(")[0].split() for line in trace.lines]
        # strace counts for each process by itself.
        for (_, kind), n in collections.Counter((words[0] if len(words) > 1 else "", names.get(words[-1])) for words in lines if words).items():
            if kind:
                most[role, kind] = max(n, most.get((role, kind), 0))
        command.clean(bed, bed.shown()[1])
    return most


def points(numbers):
    return [Point(role, kind, n, errno) for (role, kind), most in sorted(numbers.items()) for n in range(1, most + 1)
            for errno in ROLES[role][kind][1]]


def judge(bed, command, r, pids, may_die=False):
    """What is wrong, or None."""
    if r.returncode == 0 and not command.done(bed.before):
        return "acknowledged, and it is not so"
    if r.returncode != 0 and not r.stderr.strip():
        return "failed without a word"
    engine = bed.pids()["engine"]
    bed.died += engine != pids["engine"]
    if engine != pids["engine"] and not may_die:
        return "the engine died"
    os.kill(engine, signal.SIGKILL)
    facts, after = bed.shown()
    bed.after = after
    if after != bed.before:
        return f"before a kill: {bed.before}, after it: {after}"
    return facts.unlisted() or facts.store["missing"] or None


def try_point(bed, command, point, path):
    calls = ROLES[point.role][point.kind][0]
    words = command.command(bed)
    pids = bed.pids()
    when = f"{point.n}+" if point.kind == "memory" else str(point.n)
    with Trace(pids, point.role, path, "-e", "trace=" + calls, "-e", f"inject={calls}:error={point.errno}:when={when}") as trace:
        r = bed.host.banger(*words, ok=False)
    bed.before = bed.after = bed.shown()[1]
    reached = [line.strip() for line in trace.lines if "INJECTED" in line]
    wrong = judge(bed, command, r, pids)
    if wrong:
        bed.failed.append((point, reached[:1], r.returncode, r.stderr.strip()[-300:], wrong))
        print(bed.failed[-1], flush=True)
    bed.tried += bool(reached)
    command.clean(bed, bed.after)


@pytest.fixture(scope="module")
def bed():
    from hostuser import HostUser
    with HostUser("bgt-faults", groups=["banger"], loop_limit_ms=None) as user:
        b = Bed(user)
        yield b
        b.host.kill()


@pytest.mark.parametrize("name", [list(COMMANDS)[(DAY + i) % len(COMMANDS)] for i in range(2)] if SHARE == 1 else list(COMMANDS))
def test_each_call_fails_once(bed, name):
    command, path = COMMANDS[name](), bed.host.user.home + "/trace"
    every = points(count(bed, command, path))
    bed.failed, bed.tried, bed.died = [], 0, 0
    for point in share_of(every, 3):
        try_point(bed, command, point, path)
    print(f"{name}: {bed.tried} of {len(every)} faults, {len(bed.failed)} wrong")
    assert not bed.failed, (len(bed.failed), bed.failed[:6])
