# SPDX-License-Identifier: ISC
"""banger's own kernel under Firecracker, where scripts/make-generic-kernel has made it before scripts/lab ran: as fast as it should
be, each promise kept, docker. tests/e2e/test_generic_kernel.py has it under QEMU."""
import glob
import os
import re
import statistics
import time

import pytest

from labhost import BUILD, FIRECRACKER, SOURCE, figure, until

MADE = sorted(glob.glob(f"{BUILD}/kernel/vmlinuz-*-banger"))
pytestmark = [pytest.mark.skipif(not MADE, reason="scripts/make-generic-kernel was not run before: it takes minutes"),
              pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py"),
              pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def dev(disk_dev):
    disk_dev.banger("kernel", "import", MADE[-1], "--name", "generic")
    disk_dev.own_image("docker", "generic-docker")
    return disk_dev


@pytest.fixture(scope="module")
def box(dev):
    dev.banger("vm", "create", "generic", "--image", "generic-docker", "--kernel", "generic", "--memory", "768M", "--cpus", "1",
               "--disk-size", "2G")
    record = dev.show("generic")
    assert record["vmm"] == "firecracker" and record["accel"] == "kvm" and record["ready"], record
    yield "generic"
    dev.banger("vm", "delete", "generic")


def test_every_promise(dev, box):
    with open(f"{SOURCE}/tests/lib/kernel-checks.sh") as f:
        lines = dev.ssh(box, f.read()).splitlines()
    assert lines[-1] == "end" and len(lines) > 20, lines
    # The lab's image has no nft; the same rules come in by iptables-nft.
    bad = [line for line in lines[:-1] if not line.startswith("ok ") and not line.startswith("FAILED nft:")]
    assert not bad, bad


def test_it_knows_the_vm_by_its_generation(dev, box):
    """Firecracker has the device since 1.8: the driver must have found it."""
    found = dev.ssh(box, "find /sys/bus/acpi/drivers/vmgenid/ -type l")
    assert re.search(r"/vmgenid/\S+:\d+$", found, re.M), found


def test_docker(dev, box):
    until(lambda: dev.in_guest(box, "docker info >/dev/null 2>&1 && echo up"), "docker is up", timeout=500, every=2)
    assert dev.ssh(box, "docker info --format '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2\n"
    dev.ssh(box, "tar -C / -c bin/busybox | docker import - tiny")
    assert dev.ssh(box, "docker run --rm --memory 32m tiny /bin/busybox cat /sys/fs/cgroup/memory.max") == f"{32 << 20}\n"
    assert "1 packets received" in dev.ssh(box, "docker run --rm tiny /bin/busybox ping -c 1 -w 20 172.17.0.1")


def test_it_is_up_before_the_distributions_kernel(dev):
    times = {}
    for kernel in ("debian", "generic"):
        name = "fast-" + kernel
        dev.banger("vm", "create", name, "--image", "plain", "--kernel", kernel, "--memory", "256M", "--cpus", "1")
        times[kernel] = []
        try:
            for _ in range(3):
                dev.banger("vm", "stop", name)
                began = time.monotonic()
                dev.banger("vm", "start", name)
                times[kernel].append(time.monotonic() - began)
        finally:
            dev.banger("vm", "delete", name)
    figure("vm start to ssh under Firecracker: " + "; ".join(
        f"kernel {k} {min(t):.1f} s (median {statistics.median(t):.1f} s)" for k, t in times.items()))
    assert min(times["generic"]) < min(times["debian"])
