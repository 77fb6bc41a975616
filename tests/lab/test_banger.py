# SPDX-License-Identifier: ISC
"""banger as installed, under real KVM: a member's VM from a kernel package to a command over ssh, and what a reboot of
the host leaves of it."""
import json
import os
import re

import pytest

from labhost import ASSETS, FIRECRACKER, Dev, until

MINUTES = 5


@pytest.fixture(scope="module")
def dev(helper_installed):
    with Dev() as user:
        yield user


def create(user, name, *more):
    """A kernel out of its package, an image of an ext4 file, a VM of both."""
    user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
    user.banger("image", "register", "--name", "plain", "--rootfs", f"{ASSETS}/guest.ext4")
    user.banger("vm", "create", name, "--image", "plain", "--kernel", "debian", "--memory", "512M", "--cpus", "1", *more)


@pytest.fixture(scope="module")
def vm(dev):
    create(dev, "web")
    return "web"


def test_vm_runs_a_command(dev, vm):
    assert dev.banger("vm", "ssh", vm, "--", "uname", "-n") == "web\n"


@pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py")
def test_auto_takes_firecracker(dev, vm):
    record = dev.show(vm)
    assert record["state"] == "running" and record["ready"]
    assert (record["vmm"], record["accel"]) == ("firecracker", "kvm"), record


def test_auto_joins_the_disk_in_the_guest(dev, vm):
    """Whatever the VMM: ext4 under banger's state, an image that is root's, and a kernel that has dm-snapshot."""
    record = dev.show(vm)
    assert record["storage"] == "guest-cow", record
    assert os.stat(record["paths"]["disk"]).st_blocks * 512 < 64 << 20
    dev.banger("vm", "ssh", vm, "--", "head -c 32M /dev/urandom >/big && sha256sum /big >/big.sum && sync")
    dev.banger("vm", "set", vm, "--disk-size", f"{record['disk_mib'] + 512}M")
    dev.banger("vm", "restart", vm)
    assert dev.banger("vm", "ssh", vm, "--", "sha256sum -c /big.sum; findmnt -no FSTYPE /") == "/big: OK\next4\n"


@pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py")
def test_bench_beside_a_bare_firecracker(dev, vm):
    record = json.loads(dev.banger("bench", "--count", "1", "--at-once", "1", "--image", "plain", "--kernel", "debian", "--memory", "512M", "--json"))
    assert record["vmm"] == "firecracker" and record["bare_error"] is None, record
    (run,), (bare,) = record["alone"]["runs"], record["bare"]["runs"]
    assert run["total"] > 0 and bare["total"] > 0 and {"disks", "network", "vmm", "boot", "ssh"} <= set(run)
    assert [vm["name"] for vm in json.loads(dev.banger("vm", "list", "--json"))] == ["web"]


def test_qemu_with_kvm(helper_installed):
    with Dev("dev2") as user:
        user.config('vmm = "qemu"\n')
        create(user, "web")
        record = user.show("web")
        assert (record["vmm"], record["accel"], record["ready"]) == ("qemu", "kvm", True), record
        assert user.banger("vm", "ssh", "web", "--", "uname", "-n") == "web\n"
        # A reboot happens in place, in the same process; a power-off ends it.
        old = user.boot_id("web")
        user.later("web", "kill -TERM 1")
        until(lambda: user.boot_id("web") not in (None, old), "it has booted again", timeout=500, every=0.5)
        assert user.show("web")["pid"] == record["pid"]
        user.later("web", "kill -USR2 1")
        until(lambda: user.stopped("web"), "it is stopped", timeout=240)
        assert user.show("web")["error"] is None
        user.banger("vm", "delete", "web")
        user.banger("daemon", "stop")


def test_files_are_kept_over_stop_and_start(dev, vm):
    dev.banger("vm", "ssh", vm, "--", "echo one > /root/work-disk; echo two > /etc/root-disk; sync")
    dev.banger("vm", "stop", vm)
    assert dev.show(vm)["state"] == "stopped"
    dev.banger("vm", "start", vm)
    assert dev.banger("vm", "ssh", vm, "--", "cat", "/root/work-disk", "/etc/root-disk") == "one\ntwo\n"


def test_left_running_for_the_reboot(dev, vm):
    assert dev.show(vm)["state"] == "running"


@pytest.mark.boot(2)
def test_reboot_stops_vms(dev):
    """After the host's reboot the VM is listed as stopped, and starts again with what it had."""
    left = dev.show("web")
    assert left["state"] == "stopped" and (left["error"] is None or left["error"]["code"] == "vm.session_ended"), left
    assert re.search(r"^web\s+stopped\b", dev.banger("vm", "list"), re.M)
    dev.banger("vm", "start", "web")
    assert dev.banger("vm", "ssh", "web", "--", "cat", "/root/work-disk") == "one\n"
    dev.banger("vm", "delete", "web")
