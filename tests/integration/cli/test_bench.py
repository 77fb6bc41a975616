# SPDX-License-Identifier: ISC
"""`banger bench`: what it makes goes again, whatever happens; its figures are those of the operations; the bare VMM is the VM's own without
what banger gave it. The daemon is played; tests/e2e/test_bench.py has a real one."""
import json
import os
import signal
import subprocess
import threading

import pytest

from fake_daemon import daemon, running, stage
from waiting import wait_for


class Played:
    """Operations on VMs: each create has the next of the times, or does what hook says."""

    def __init__(self, fake):
        self.fake, self.times, self.hook = fake, [], None
        self.alive, self.deleted, self.pid = set(), [], 4711
        self.lock = threading.Lock()
        self.count = 0
        fake.on("POST", "/v1/vms", self.create)
        fake.on("GET", "/v1/daemon", daemon())

    def record(self, ident, kind, target, **over):
        return {"id": ident, "kind": kind, "target": target, "state": "running", "stages": [], "progress": None, "error": None, "result": None,
                "log": None, "created_at": "2026-01-02T03:04:05Z", "elapsed_ms": 1, **over}

    def begin(self, conn, kind, name, follow):
        with self.lock:
            self.count += 1
            ident = str(self.count)
        self.fake.on("GET", f"/v1/operations/{ident}/events", follow(ident))
        conn.json({"operation": self.record(ident, kind, name)}, 202)

    def create(self, conn):
        name = conn.body["name"]
        self.fake.on("DELETE", f"/v1/vms/{name}", self.delete)
        with self.lock:
            self.alive.add(name)
            ms = self.times.pop(0) if self.times else 100

        def follow(ident):
            def answer(c):
                c.stream()
                over = self.hook(ident, name) if self.hook else {}
                c.line(self.record(ident, "vm.create", name, **{
                    "state": "done", "elapsed_ms": ms, "stages": [stage("disks", "x", ms // 4), stage("boot", "y", ms // 2), stage("boot", "z", ms // 4)],
                    "result": running(name, pid=self.pid), **over}))
                c.end()
            return answer

        self.begin(conn, "vm.create", name, follow)

    def delete(self, conn):
        name = conn.path.rsplit("/", 1)[1]
        assert "force=1" in conn.query
        with self.lock:
            there = name in self.alive
            self.alive.discard(name)
        if not there:
            conn.error(404, "vm.not_found", f'there is no VM "{name}"', None)
            return
        self.deleted.append(name)

        def follow(ident):
            def answer(c):
                c.stream()
                c.line(self.record(ident, "vm.delete", name, state="done"))
                c.end()
            return answer

        self.begin(conn, "vm.delete", name, follow)


@pytest.fixture
def played(fake):
    return Played(fake)


def stages(part):
    return {s["name"]: (s["p50_ms"], s["p95_ms"]) for s in part["stages"]}


def test_figures(home, played):
    played.times = [400, 100, 300, 200, 1000] + [800] * 5
    r = home.run("bench", "-n", "5", "-C", "2", "--no-bare", "--memory", "256M", "--json")
    assert r.status == 0, r
    record = json.loads(r.out)
    assert stages(record["alone"]) == {"disks": (75, 250), "boot": (225, 750), "total": (300, 1000)}
    assert stages(record["at_once"]) == {"disks": (200, 200), "boot": (600, 600), "total": (800, 800)}
    assert record["alone"]["count"] == record["at_once"]["count"] == 5 and record["parallel"] == 2 and "wall_ms" in record["at_once"]
    assert [run["total"] for run in record["alone"]["runs"]] == [400, 100, 300, 200, 1000]
    assert record["bare"] is None and record["bare_error"] is None and record["vmm"] == "qemu" and record["memory_mib"] == 1024
    bodies = played.fake.asked("POST", "/v1/vms")
    assert all(b["memory_mib"] == 256 and b["labels"] == {"banger.bench": "yes"} for b in bodies)
    assert len({b["name"] for b in bodies}) == 10 and sorted(played.deleted) == sorted(b["name"] for b in bodies)


def test_table(home, played):
    played.times = [400, 100, 300, 200, 1000] + [800] * 5
    r = home.run("bench", "--no-bare", "--at-once", "3")
    lines = [line.split() for line in r.out.splitlines()]
    assert ["total", "300", "ms", "1.0", "s", "800", "ms", "800", "ms"] in lines, r
    assert "5 VMs of image debian, 2 CPUs, 1024 MiB: qemu" in r.out and "3 at once: all 5 ready after" in r.out
    one = home.run("bench", "-n", "1", "--no-bare")
    assert len(played.fake.asked("POST", "/v1/vms")) == 11 and "at once:" not in one.out


def test_a_failure_is_told_and_nothing_stays(home, played):
    def fails(ident, name):
        if ident == "5":  # the third create: two deletions lie between
            return {"state": "failed", "error": {"code": "disk.full", "message": "no room", "hint": None, "exit": 5}, "result": None}
        return {}

    played.hook = fails
    r = home.run("bench", "--no-bare")
    assert r.status == 5 and "no room" in r.err and not played.alive and len(played.deleted) == 3, r


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_what_is_made_and_deletes_it(home, played, sig):
    begun, go = threading.Event(), threading.Event()
    cancelled = []

    def hook(ident, name):
        if ident != "3":
            return {}

        def cancel(conn):
            cancelled.append(ident)
            conn.json({"operation": played.record(ident, "vm.create", name)})
            go.set()

        played.fake.on("DELETE", f"/v1/operations/{ident}", cancel)
        begun.set()
        assert go.wait(30)
        return {"state": "cancelled", "result": None}

    played.hook = hook
    p = home.start("bench", "--no-bare", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert begun.wait(30)
        p.send_signal(sig)
        out, err = p.communicate(timeout=60)
    finally:
        p.kill()
    assert p.returncode == 130 and cancelled == ["3"], err
    assert not played.alive and len(played.deleted) == 2
    assert json.loads(out)["alone"]["count"] == 1  # what was measured until then is shown


def test_a_signal_while_several_are_made(home, played):
    begun, go = threading.Barrier(3), threading.Event()

    def hook(ident, name):
        if int(ident) <= 4:  # two alone, and their deletions
            return {}

        def cancel(conn):
            conn.json({"operation": played.record(ident, "vm.create", name)})
            go.set()

        played.fake.on("DELETE", f"/v1/operations/{ident}", cancel)
        begun.wait(30)
        assert go.wait(30)
        return {"state": "cancelled", "result": None} if int(ident) % 2 else {}

    played.hook = hook
    p = home.start("bench", "--no-bare", "-n", "2", "-C", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        begun.wait(30)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
    assert p.returncode == 130 and not played.alive, err


# With a name it is a VM's, which lives until its input ends; without one it is bare, and writes down what it was started with.
QEMU = """#!/bin/sh
case " $* " in *" -name "*) read x; exit;; esac
for word; do printf '%s\\n' "$word"; done >>{home}/bare-args
{then}
"""


@pytest.fixture
def vmm(home, played):
    started = []

    def make(then):
        path = home.program("bin/qemu", QEMU.format(home=home.path, then=then))
        words = ["-name", "banger-1", "-M", "microvm,acpi=on", "-m", "256M", "-kernel", "/k/vmlinuz", "-initrd", "/s/initrd", "-append",
                 "console=ttyS0 panic=10 quiet", "-add-fd", "fd=3,set=3", "-chardev", "file,id=console,path=/dev/fdset/3", "-serial", "chardev:console",
                 "-blockdev", "{}", "-device", "virtio-blk-device", "-netdev", "tap,fd=5", "-mon", "chardev=qmp"]
        started.append(subprocess.Popen([path, *words], stdin=subprocess.PIPE, user=home.uid))
        played.pid = started[-1].pid

    yield make
    for p in started:
        p.stdin.close()
        p.kill()
        p.wait()


BARE = ["-M", "microvm,acpi=on", "-m", "256M", "-kernel", "/k/vmlinuz", "-append", "console=ttyS0 panic=-1 quiet", "-no-reboot", "-serial", "null"]


def test_the_bare_vmm_is_the_vms_without_what_banger_gave_it(home, played, vmm):
    vmm("exit 0")
    r = home.run("bench", "-n", "3", "-C", "1", "--json")
    record = json.loads(r.out)
    assert record["bare"]["count"] == 3 and record["bare_error"] is None and record["at_once"] is None, r
    with open(home.path + "/bare-args", encoding="utf-8") as f:
        assert f.read().splitlines() == BARE * 3
    assert "bare qemu" in home.run("bench", "-n", "1", "-C", "1").out


def test_a_bare_vmm_that_fails_is_said_and_is_no_failure(home, played, vmm):
    vmm("exit 3")
    r = home.run("bench", "-n", "1", "-C", "1")
    assert r.status == 0 and "no bare start: the bare" in r.out and "status 3" in r.out, r


def test_ctrl_c_ends_the_bare_vmm(home, played, vmm):
    vmm(f"echo $$ >{home.path}/bare-pid; exec sleep 600")
    p = home.start("bench", "-n", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: os.path.exists(home.path + "/bare-pid") and os.path.getsize(home.path + "/bare-pid"))
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
    with open(home.path + "/bare-pid", encoding="utf-8") as f:
        pid = int(f.read())
    assert p.returncode == 130 and not played.alive and not os.path.exists(f"/proc/{pid}"), err


FIRECRACKER = """#!/bin/sh
case " $* " in *" --id "*) read x; exit;; esac
echo "$1 $2" >{home}/bare-args; cat "$3" >{home}/bare-config
"""


def test_a_bare_firecracker_has_the_vms_configuration_without_its_devices(home, played):
    path = home.program("bin/firecracker", FIRECRACKER.format(home=home.path))
    machine = {"vcpu_count": 1, "mem_size_mib": 256}
    home.file("fc.json", json.dumps({"boot-source": {"kernel_image_path": "/k/vmlinux", "initrd_path": "/s/initrd", "boot_args": "panic=-1"},
                                     "machine-config": machine, "drives": [{"drive_id": "root"}], "network-interfaces": [{}], "vsock": {}, "entropy": {}}))
    vmm = subprocess.Popen([path, "--id", "banger-1", "--api-sock", "/r/s", "--config-file", home.path + "/fc.json"], stdin=subprocess.PIPE, user=home.uid)
    try:
        played.pid = vmm.pid
        played.hook = lambda ident, name: {"result": running(name, pid=vmm.pid, vmm="firecracker")}
        record = json.loads(home.run("bench", "-n", "1", "--json").out)
    finally:
        vmm.stdin.close()
        vmm.kill()
        vmm.wait()
    assert record["bare"]["count"] == 1, record
    with open(home.path + "/bare-args", encoding="utf-8") as f:
        assert f.read() == "--no-api --config-file\n"
    with open(home.path + "/bare-config", encoding="utf-8") as f:
        assert json.load(f) == {"boot-source": {"kernel_image_path": "/k/vmlinux", "boot_args": "panic=-1"}, "machine-config": machine, "drives": [], "entropy": {}}
