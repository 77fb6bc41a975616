# SPDX-License-Identifier: ISC
"""The lab host is what it is for: KVM that runs guests, device-mapper, vsock, tun, nftables, with a usual host's modes."""
import grp
import os
import re
import socket
import stat
import subprocess

import pytest

from labhost import BUILD, KEEP, loop_of, run


def test_processor_has_svm():
    with open("/proc/cpuinfo") as f:
        assert re.search(r"^flags\s*:.*\bsvm\b", f.read(), re.M)


def test_kvm_runs_a_micro_guest(member):
    """The built probe: a bounded counting loop, as bangerd tries it."""
    out = member.run([f"{BUILD}/tests/driver/test_driver_vmm_probe", "micro_guest_runs"], capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr
    assert re.search(r"^ok \d+ - micro_guest_runs$", out.stdout, re.M), out.stdout


@pytest.mark.parametrize("node,mode,group", [("kvm", 0o660, "kvm"), ("vhost-vsock", 0o660, "kvm"), ("net/tun", 0o666, "root"),
                                             ("loop-control", 0o660, "disk"), ("mapper/control", 0o600, "root")])
def test_device_modes(node, mode, group):
    st = os.stat("/dev/" + node)
    assert stat.S_ISCHR(st.st_mode)
    assert (stat.S_IMODE(st.st_mode), grp.getgrgid(st.st_gid).gr_name) == (mode, group)


def test_outsider_has_no_kvm(outsider):
    out = outsider.run(["sh", "-c", "exec 3<>/dev/kvm"], capture_output=True, text=True)
    assert out.returncode != 0 and "Permission denied" in out.stderr


def test_dm_snapshot(tmp_path):
    """A write to the snapshot is seen there and not in its base."""
    base, cow = tmp_path / "base", tmp_path / "cow"
    base.write_bytes(b"B" * (1 << 20))
    cow.write_bytes(bytes(1 << 20))
    loops = [loop_of(str(p)) for p in (base, cow)]
    try:
        run(["dmsetup", "create", "lab-snap", "--table", f"0 2048 snapshot {loops[0]} {loops[1]} N 8"])
        with open("/dev/mapper/lab-snap", "r+b") as f:
            assert f.read(4096) == b"B" * 4096
            f.seek(0)
            f.write(b"W" * 4096)
        with open("/dev/mapper/lab-snap", "rb") as f:
            assert f.read(8192) == b"W" * 4096 + b"B" * 4096
        assert base.read_bytes() == b"B" * (1 << 20)
    finally:
        subprocess.run(["dmsetup", "remove", "--retry", "lab-snap"], capture_output=True)
        for loop in loops:
            subprocess.run(["losetup", "--detach", loop], capture_output=True)


def test_vsock():
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.bind((socket.VMADDR_CID_ANY, 7000))
    s.close()


def test_tap_of_a_user(member):
    run(["ip", "tuntap", "add", "dev", "labtap0", "mode", "tap", "user", member.name])
    try:
        assert f"user {member.name}" in run(["ip", "-d", "link", "show", "labtap0"])
    finally:
        run(["ip", "link", "delete", "labtap0"])


def test_nftables_nat():
    rules = "table ip lab { chain post { type nat hook postrouting priority 100; ip saddr 10.209.0.0/16 masquerade; }; }"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=30)
    assert "masquerade" in run(["nft", "list", "table", "ip", "lab"])
    run(["nft", "delete", "table", "ip", "lab"])


def test_iptables():
    run(["iptables", "-w", "-A", "FORWARD", "-s", "10.209.0.0/16", "-j", "ACCEPT"])
    assert "10.209.0.0/16" in run(["iptables", "-w", "-S", "FORWARD"])
    run(["iptables", "-w", "-D", "FORWARD", "-s", "10.209.0.0/16", "-j", "ACCEPT"])


def test_remember_for_the_next_boot():
    os.makedirs(KEEP, exist_ok=True)
    with open("/proc/sys/kernel/random/boot_id") as f, open(f"{KEEP}/boot_id", "w") as kept:
        kept.write(f.read())


@pytest.mark.boot(2)
def test_reboot_keeps_the_disk():
    with open("/proc/sys/kernel/random/boot_id") as f, open(f"{KEEP}/boot_id") as kept:
        assert kept.read() not in ("", f.read())
