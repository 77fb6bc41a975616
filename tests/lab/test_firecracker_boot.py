# SPDX-License-Identifier: ISC
"""Firecracker itself under nested KVM, as an ordinary user: which kernel file and command line work, and how long it takes."""
import json
import os
import re
import subprocess
import time

import pytest

from labhost import FIRECRACKER, RESULTS, SOURCE, busybox_initrd, run, vmlinux

pytestmark = pytest.mark.skipif(not os.path.exists(FIRECRACKER), reason="no Firecracker was brought in: see machine/firecracker.py")

def bangers_cmdline():
    """What daemon/driver/vmm_firecracker.c gives the kernel, out of its golden file."""
    with open(f"{SOURCE}/tests/driver/golden/firecracker.json") as f:
        return json.load(f)["boot-source"]["boot_args"]


UP = "echo lab-guest up $(/bin/busybox cut -d' ' -f1 /proc/uptime)\n/bin/busybox reboot -f\n"


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


class Guest:
    """A Firecracker of member, started from a configuration file in a folder of its own."""

    def __init__(self, member, folder, script, modules=(), cmdline=None, **more):
        self.member, self.file = member, f"{folder}/config.json"
        write(f"{folder}/initrd", busybox_initrd(script, modules))
        config = {"boot-source": {"kernel_image_path": vmlinux(), "initrd_path": f"{folder}/initrd", "boot_args": cmdline or bangers_cmdline()},
                  "machine-config": {"vcpu_count": 1, "mem_size_mib": 256}, "drives": [], **more}
        write(self.file, json.dumps(config).encode())

    def run(self, timeout=120):
        """(everything on the serial console, seconds until the process ended)"""
        begun = time.monotonic()
        out = self.member.run([FIRECRACKER, "--no-api", "--config-file", self.file], timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = out.stdout.decode(errors="replace")
        assert out.returncode == 0, text
        return text, time.monotonic() - begun


def record(name, text):
    with open(f"{RESULTS}/firecracker-{name}.log", "w") as f:
        f.write(text)


@pytest.fixture
def folder(member):
    """Where member may make sockets; short, as their paths are limited."""
    path = f"{member.home}/fc"
    run(["install", "-d", "-o", member.name, path])
    yield path
    run(["rm", "-rf", path])


def test_version():
    assert re.match(r"Firecracker v1\.\d+\.\d+", run([FIRECRACKER, "--version"]))


@pytest.mark.parametrize("name,cmdline", [
    ("banger", None),
    # All probing of hardware that is not there: slower, but it must come up
    ("plain", "console=ttyS0 reboot=k panic=-1 quiet"),
])
def test_boots_debians_kernel(member, folder, name, cmdline):
    text, took = Guest(member, folder, UP, cmdline=cmdline).run()
    record("boot-" + name, f"{took:.2f} s from start to end\n{text}")
    assert re.search(r"^lab-guest up \d", text, re.M), text


def test_devices_through_acpi(member, folder):
    """virtio-mmio devices are found without command-line devices: disk in order, network with its MAC, vsock."""
    disks = []
    for name, size in (("root", 4), ("work", 8)):
        path = f"{folder}/{name}.img"
        run(["truncate", "-s", f"{size}M", path])
        run(["chown", member.name, path])
        disks.append({"drive_id": name, "path_on_host": path, "is_root_device": False, "is_read_only": False})
    run(["ip", "tuntap", "add", "dev", "labtap1", "mode", "tap", "user", member.name, "vnet_hdr"])
    try:
        script = ("/bin/busybox grep -H . /sys/block/vd*/size /sys/class/net/eth0/address\n[ -c /dev/vsock ] && echo vsock-node\n"
                  "for d in /sys/bus/virtio/devices/*; do echo device $(/bin/busybox cat $d/device) "
                  "$(/bin/busybox basename $(/bin/busybox readlink -f $d/driver)); done\n/bin/busybox reboot -f\n")
        guest = Guest(member, folder, script, ("virtio_mmio", "virtio_blk", "virtio_net", "vmw_vsock_virtio_transport"),
                      bangers_cmdline() + " net.ifnames=0", drives=disks,
                      **{"network-interfaces": [{"iface_id": "eth0", "guest_mac": "02:62:67:00:00:01", "host_dev_name": "labtap1"}],
                         "vsock": {"guest_cid": 3, "uds_path": f"{folder}/v.sock"}})
        text, took = guest.run()
    finally:
        run(["ip", "link", "delete", "labtap1"])
    record("devices", f"{took:.2f} s from start to end\n{text}")
    assert "/sys/block/vda/size:8192" in text and "/sys/block/vdb/size:16384" in text, text
    assert "address:02:62:67:00:00:01" in text and "vsock-node" in text, text
    assert sorted(re.findall(r"device \S+ (\S+)", text)) == ["virtio_blk", "virtio_blk", "virtio_net", "vmw_vsock_virtio_transport"], text


def test_a_kernel_that_finds_no_root_ends_it(member, folder):
    """What `banger bench` starts beside a VM: cli/bench_bare.c."""
    guest = Guest(member, folder, UP)
    with open(guest.file) as f:
        config = json.load(f)
    del config["boot-source"]["initrd_path"]
    write(guest.file, json.dumps(config).encode())
    text, took = guest.run()
    record("bare", f"{took:.2f} s from start to end\n{text}")
    assert "Unable to mount root fs" in text and "lab-guest up" not in text, text
