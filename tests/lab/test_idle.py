# SPDX-License-Identifier: ISC
"""What VMs cost while nobody uses them, under Firecracker: five creates in a row, then ten minutes of nothing on each storage driver, beside
a Firecracker that was started by hand with the same kernel, guest and disks. Takes half an hour, so it runs by name only:
`scripts/lab idle`. The same under QEMU: tests/bench/bench_idle.py; what bangerd does meanwhile: tests/integration/daemon/test_idle.py."""
import json
import os
import signal
import statistics
import threading
import time

import pytest

from idle import LIFETIME, Bare, Watch, cpu_seconds, sizes
from labhost import ASSETS, FIRECRACKER, SOURCE, Dev, figure, run, until

BY_NAME = True
MINUTES = 20
IDLE_MINUTES = 10
MIB = 1 << 20
GROWN_MIB, LIFETIME_KIB = 3, 6000
BESIDE_BARE, FIRST_TO_LAST, FIFTH_TO_FIRST = 1.25, 2, 1.15
NOISE = 0.003  # of a processor: what the shares of two equal guests differ by here
CREATES = 5
pytestmark = [pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py"),
              pytest.mark.timeout(2400)]


def prepared(user, config):
    user.config(config)
    user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
    user.own_image("guest", "plain")
    return user


@pytest.fixture(scope="module")
def users(helper_installed):
    """One for each storage driver: the disk helper's and plain copies on ext4, and what it takes by itself on btrfs."""
    run(["scripts/install-helper", "--disk", "build"], cwd=SOURCE)
    run(["truncate", "-s", "3G", "/var/tmp/idle.btrfs"])
    run(["mkfs.btrfs", "-q", "/var/tmp/idle.btrfs"])
    with Dev("idlesnap") as snapshot, Dev("idlecopy") as copy, Dev("idleref") as reflink:
        run(["mount", "-o", "loop", "/var/tmp/idle.btrfs", reflink.home])
        run(["chown", f"{reflink.name}:", reflink.home])
        yield {"dm-snapshot": prepared(snapshot, 'storage = "dm-snapshot"\n'), "copy": prepared(copy, 'storage = "copy"\n'), "reflink": prepared(reflink, "")}
        for user in (snapshot, copy, reflink):
            user.banger("daemon", "stop", "--cancel")


def create(user, name):
    began = time.monotonic()
    user.banger("vm", "create", name, "--image", "plain", "--kernel", "debian", "--memory", "256M", "--cpus", "1")
    return time.monotonic() - began


def test_the_fifth_create_is_as_fast_as_the_first(users):
    user, series = users["dm-snapshot"], []
    for _ in range(3):  # other work on the machine may make one slow, in one series or two
        series.append([create(user, f"row{i}") for i in range(CREATES)])
        for i in range(CREATES):
            user.banger("vm", "delete", f"row{i}")
        if series[-1][-1] <= FIFTH_TO_FIRST * series[-1][0]:
            break
    figure("five creates in a row, seconds: " + "; ".join(" ".join(f"{t:.1f}" for t in one) for one in series))
    assert series[-1][-1] <= FIFTH_TO_FIRST * series[-1][0], series


def take(user, name, bare, made):
    """The configuration of a VM's Firecracker that has just begun, with copies of what it begins with."""
    def pid():
        out = user.run(["banger", "vm", "show", name, "--json"], capture_output=True, text=True)
        return out.returncode == 0 and json.loads(out.stdout)["pid"]

    pid = until(pid, "the VMM", timeout=300, every=0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            argv = f.read().split("\0")
        with open(argv[argv.index("--config-file") + 1]) as f:
            config = json.load(f)
        config["boot-source"]["initrd_path"] = bare.copy(config["boot-source"]["initrd_path"], "initrd")
        root, work, *_ = config["drives"]
        size = int(run(["blockdev", "--getsize64", root["path_on_host"]]))
        root["path_on_host"] = bare.copy(f"{user.home}/plain.ext4", "root.img", size)
        work["path_on_host"] = bare.copy(work["path_on_host"], "work.img")
        config["network-interfaces"][0]["host_dev_name"] = "bgtbare"
        config["vsock"]["uds_path"] = f"{bare.folder}/vsock.sock"
        made.update(config)
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def vms(users, tmp_path_factory):
    """({storage: (user, record, sizes at its create's end)}, the bare one) with all of them up."""
    bare, config, found = Bare(tmp_path_factory.mktemp("bare")), {}, {}
    for storage, user in users.items():
        taking = threading.Thread(target=take, args=(user, "idle", bare, config), daemon=True) if storage == "dm-snapshot" else None
        if taking:
            taking.start()
        create(user, "idle")
        if taking:
            taking.join()
        record = user.show("idle")
        assert (record["storage"], record["vmm"]) == (storage, "firecracker"), record
        found[storage] = user, record, sizes(record)
    path = os.path.join(bare.folder, "config.json")
    with open(path, "w") as f:
        json.dump(config, f)
    bare.start([FIRECRACKER, "--no-api", "--config-file", path])
    yield found, bare
    bare.end()
    for user in users.values():
        user.banger("vm", "delete", "idle")


def kib_of_the_image():
    """What its making counts: ext4's superblock, s_kbytes_written."""
    with open(f"{ASSETS}/guest.ext4", "rb") as f:
        f.seek(1024 + 0x178)
        return int.from_bytes(f.read(8), "little")


def told(user):
    return json.loads(user.banger("vm", "stats", "idle", "--json"))["host"]


def test_ten_minutes_of_nothing(vms):
    found, bare = vms
    pids = {storage: record["pid"] for storage, (_, record, _) in found.items()}
    minutes = Watch({**pids, "bare": bare.process.pid}).run(IDLE_MINUTES)
    assert bare.process.poll() is None, "the bare VMM has ended"
    for name, row in minutes.items():
        figure(f"idle, {name}: processor, wake-ups a second by minute: " + " ".join(f"{share * 100:.1f} %/{wakes:.1f}" for share, wakes in row))
    late = {name: statistics.mean(share for share, _ in row[IDLE_MINUTES // 2:]) for name, row in minutes.items()}
    bad = []
    for storage, (user, record, before) in found.items():
        grown = {key: size - before[key] for key, size in sizes(record).items()}
        lifetime = [int(line) for line in user.banger("vm", "exec", "idle", "--", "sh", "-c", LIFETIME).split()]
        lifetime[0] -= kib_of_the_image()
        figure(f"idle, {storage}: root +{grown['disk'] / MIB:.1f} MiB, work +{grown['work'] / MIB:.1f} MiB; lifetime writes {lifetime} KiB; "
               f"{late[storage] * 100:.2f} % of a processor, bare {late['bare'] * 100:.2f} %")
        first, last = minutes[storage][0][0], minutes[storage][-1][0]
        checks = {"grown": max(grown.values()) <= GROWN_MIB * MIB, "lifetime": len(lifetime) == 2 and max(lifetime) < LIFETIME_KIB,
                  "beside the bare one": late[storage] <= BESIDE_BARE * late["bare"] + NOISE,
                  "minute 1": first <= FIRST_TO_LAST * last + NOISE}
        bad += [f"{storage}: {name}" for name, ok in checks.items() if not ok]
    assert not bad, bad


def test_stats_tell_what_proc_tells(vms):
    """Processor time and bytes written since the VMM's start, by `vm stats` and by `top`."""
    found, _ = vms
    user, record, _ = found["dm-snapshot"]
    user.ssh("idle", "head -c 16M /dev/urandom >/written; sync; rm /written")
    low = cpu_seconds(record["pid"])
    for host in (told(user), *(row["host"] for row in json.loads(user.banger("top", "--once", "--json")) if row["name"] == "idle")):
        assert low - 0.01 <= host["cpu_seconds"] <= cpu_seconds(record["pid"]) + 0.01, host
        assert host["written_bytes"] >= 16 * MIB, host
