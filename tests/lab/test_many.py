# SPDX-License-Identifier: ISC
"""Twenty VMs of one image: what each costs on the disk, and what bangerd and its helpers take from the request to the
start of the VMM, as the operation's stages tell it. The VMMs are real and are stopped at once: no guest gets anywhere."""
import json
import os
import signal
import statistics

from disklab import devices, nodes, rows
from labhost import figure, run, until
from unixhttp import Connection

MINUTES = 4
VMS = 20
MIB = 1 << 20
TO_VMM = ("disks", "identity", "network", "vmm")  # the stages up to the VMM's start
TO_VMM_MS = 200  # of bangerd's and its helpers' time


class Api:
    """Requests as the CLI would send them, without its process: over one connection that the user has made."""

    def __init__(self, user):
        self.connection = Connection(json.loads(user.banger("daemon", "status", "--json"))["socket"])
        os.seteuid(user.uid)
        try:
            self.connection.connect()
        finally:
            os.seteuid(0)

    def __call__(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        return json.loads(self.connection.getresponse().read())


def processes(api):
    """bangerd's engine and the helpers that it talks to."""
    status = api("GET", "/v1/daemon")
    with open(f"/proc/{status['monitor_pid']}/task/{status['monitor_pid']}/children") as f:
        return [int(pid) for pid in f.read().split()]


def cpu_ms(pids):
    """What they have had of the processor so far."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat") as f:
            total += int(f.read().split()[0])
    return total // 1000000


def used(folder):
    """{file: bytes on the disk}; the initramfs goes as soon as its guest is up (test_disk_vm.py)."""
    return {name: os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder) if name != "initrd"}


def start_vm(api, name):
    """Asks for a VM, stops its VMM as soon as there is one. The operation's id and {stage: ms}."""
    def taps():
        t = api("GET", "/v1/daemon")["taps"]
        return t["ready"] == t["size"]

    def started():
        record = api("GET", f"/v1/operations/{op}")
        assert record["state"] == "running", record
        return {s["name"]: s["ms"] for s in record["stages"]} if record["stages"][-1]["name"] == "boot" else None

    until(taps, "the pool is full", timeout=240)
    op = api("POST", "/v1/vms", {"name": name, "image": "plain", "kernel": "debian", "cpus": 1, "memory_mib": 128})["operation"]["id"]
    stages = until(started, f"the VMM of {name}", timeout=240)
    os.kill(api("GET", f"/v1/vms/{name}")["pid"], signal.SIGSTOP)
    return op, stages


def gone(api):
    """Those whose guest was waited for too long are there still."""
    vms = api("GET", "/v1/vms")["vms"]
    for vm in vms:
        if not vm["operation"]:
            api("DELETE", f"/v1/vms/{vm['name']}")
    return not vms


def test_twenty_vms_share_one_image(disk_dev):
    dev = disk_dev
    api = Api(dev)
    base = f"{dev.home}/plain.ext4"
    before, ops, times, spent = os.stat(base).st_mtime_ns, [], [], []
    pids = processes(api)
    try:
        for i in range(VMS):
            had = cpu_ms(pids)
            op, stages = start_vm(api, f"vm{i}")
            ops.append(op)
            times.append(sum(stages[name] for name in TO_VMM))
            spent.append(cpu_ms(pids) - had)
            print(f"vm{i}: {times[-1]} ms to its VMM: {stages}; {spent[-1]} ms of processor, answers to this test and pool included")
        assert len(devices(dev.uid)) == len(nodes(dev.uid)) == VMS
        # Each lies over the same file, which is open for reading alone
        over = run(["losetup", "-l", "-n", "-O", "BACK-FILE,RO"]).split("\n")
        assert sum(line.split() == [base, "1"] for line in over if line) == VMS, over
        for i in range(VMS):
            record = api("GET", f"/v1/vms/vm{i}")
            assert record["storage"] == "dm-snapshot", record
            size = used(record["paths"]["dir"])
            assert sum(size.values()) < MIB, size
        assert os.stat(base).st_mtime_ns == before
    finally:
        for op in ops:
            api("DELETE", f"/v1/operations/{op}")  # undone whole
        until(lambda: gone(api), "all are gone", timeout=120, every=0.5)
    assert not (rows(dev.uid) or devices(dev.uid) or nodes(dev.uid))
    figure(f"create to the VMM's start: bangerd and its helpers take {statistics.median(spent):.0f} ms of processor (median of {VMS} VMs, least {min(spent)}); "
           f"by the stages' clock {statistics.median(times):.0f} ms (least {min(times)}); each has {sum(size.values()) // 1024} KiB on the disk")
    # Their own time: the lab's one processor also runs udev, the VMMs and this test, and the stages' clock counts all of that.
    assert min(spent) < TO_VMM_MS
