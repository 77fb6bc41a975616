# SPDX-License-Identifier: ISC
"""banger as installed, under real KVM: a member's VM from a kernel package to a command over ssh, and what a reboot of
the host leaves of it."""
import json
import re

import pytest

from labhost import ASSETS, Dev

BOOT_S = 180


@pytest.fixture(scope="module")
def dev(helper_installed):
    with Dev() as user:
        # Not auto, which takes Firecracker here: kernels are kept as bzImage, and Firecracker 1.12 wants an ELF file.
        user.config('vmm = "qemu"\n')
        yield user


def banger(user, *args, status=0):
    out = user.run(["banger", *args], timeout=BOOT_S, capture_output=True, text=True)
    assert out.returncode == status, f"banger {args}: status {out.returncode}\n{out.stdout}\n{out.stderr}"
    return out.stdout


def show(user, name):
    return json.loads(banger(user, "vm", "show", name, "--json"))


@pytest.fixture(scope="module")
def assets(dev):
    banger(dev, "kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
    banger(dev, "image", "register", "--name", "plain", "--rootfs", f"{ASSETS}/guest.ext4")


@pytest.fixture(scope="module")
def vm(dev, assets):
    banger(dev, "vm", "create", "web", "--image", "plain", "--kernel", "debian", "--memory", "512M", "--vcpu", "1")
    return "web"


def test_vm_runs_a_command(dev, vm):
    assert banger(dev, "vm", "ssh", vm, "--", "uname", "-n") == "web\n"


def test_kvm_runs_it(dev, vm):
    record = show(dev, vm)
    assert record["state"] == "running" and record["ready"]
    assert (record["vmm"], record["accel"]) == ("qemu", "kvm"), record


def test_files_are_kept_over_stop_and_start(dev, vm):
    banger(dev, "vm", "ssh", vm, "--", "echo one > /root/work-disk; echo two > /etc/root-disk; sync")
    banger(dev, "vm", "stop", vm)
    assert show(dev, vm)["state"] == "stopped"
    banger(dev, "vm", "start", vm)
    assert banger(dev, "vm", "ssh", vm, "--", "cat", "/root/work-disk", "/etc/root-disk") == "one\ntwo\n"


def test_left_running_for_the_reboot(dev, vm):
    assert show(dev, vm)["state"] == "running"


@pytest.mark.boot(2)
def test_reboot_stops_vms(dev):
    """After the host's reboot the VM is listed as stopped, and starts again with what it had."""
    assert re.search(r"^web\s+stopped\b", banger(dev, "vm", "list"), re.M)
    banger(dev, "vm", "start", "web")
    assert banger(dev, "vm", "ssh", "web", "--", "cat", "/root/work-disk") == "one\n"
    banger(dev, "vm", "delete", "web")
