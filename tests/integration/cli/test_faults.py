# SPDX-License-Identifier: ISC
"""The table of faults in docs/troubleshooting.md: each is made, in a view of this machine, and doctor has to find that, with its remedy, and
nothing else. A fault that is made elsewhere names the test."""
import os
import shutil

import pytest

from faults import ROOT, catalogue
from test_doctor import sound, store
from view import USER, View

VOLATILE = ("space", "clock")  # their texts have a figure


def dev(make):
    return lambda v: setattr(v, "script", make)


def program(name, version):
    return lambda v: v.program(name, version)


def inject(*faults):
    return lambda v: v.inject(*faults)


def real_kvm(v):
    if not os.path.exists("/dev/kvm"):
        pytest.skip("this machine has no /dev/kvm")
    v.script = "mknod -m 666 $v/dev/kvm c 10 232 || :"  # a container may forbid this, or its use


def full(v):
    v.script = """s=$home/.local/state/banger
mkdir $v/r; mount --bind $s/run $v/r; mount -t tmpfs -o size=64k,mode=700,uid=$uid none $s; mkdir $s/run; chown $uid $s/run; mount --bind $v/r $s/run"""


def network_fs(v):
    v.inject("statfs:poke_exit=@arg2=6969000000000000")


def long_path(v):
    v.env["XDG_STATE_HOME"] = v.env["XDG_RUNTIME_DIR"] = v.home.path + "/" + "long" * 25


def old_clock(v):
    v.home.banger = shutil.copy(v.home.banger, v.home.path + "/later")
    os.utime(v.home.banger, (4e9, 4e9))


def no_userns(v):
    v.inject("unshare:error=EPERM")
    v.script = "mount -t tmpfs -o mode=755 none /proc/sys/kernel; echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


def no_subids(v):
    v.script = "echo other:100000:900000 >$v/etc/subuid; echo other:100000:65536 >$v/etc/subgid"


BREAK = {
    "no /dev/kvm": dev(""),
    "no right to /dev/kvm": dev("touch $v/dev/kvm; chmod 600 $v/dev/kvm"),
    "KVM that only emulates": real_kvm,
    "/dev/kvm that is not KVM": dev("touch $v/dev/kvm; mount --bind /dev/null $v/dev/kvm"),
    "no QEMU": lambda v: v.without("qemu-system-x86_64"),
    "QEMU too old": program("qemu-system-x86_64", "QEMU emulator version 5.2.0 (Debian 1:5.2)"),
    "Firecracker too old": program("firecracker", "Firecracker v1.7.3"),
    "Firecracker 1.16.0 and 1.16.1": program("firecracker", "Firecracker v1.16.1"),
    "no /dev/net/tun": dev("umount $v/dev/net/tun; rm $v/dev/net/tun"),
    "/dev/net/tun is closed": dev("umount $v/dev/net/tun; chmod 600 $v/dev/net/tun"),
    "the pool overlaps a route": dev("ip route add 10.209.0.0/24 dev lo"),
    "ip_forward is off": dev("echo 0 >/proc/sys/net/ipv4/ip_forward"),
    "iptables-legacy, FORWARD may be DROP": dev("mkdir /sys/module/iptable_filter"),
    "firewalld": dev("mkdir /run/firewalld"),
    "no resolver that knows NAME.vm": dev(""),
    "systemd-resolved does not ask banger": dev("mkdir /run/systemd/resolve; touch /run/systemd/resolve/io.systemd.Resolve"),
    "state folder full": full,
    "state folder on a network file system": network_fs,
    "state folder without sparse files": inject("lseek:retval=0"),
    "path too long": long_path,
    "no Landlock": inject("landlock_create_ruleset:error=ENOSYS"),
    "no seccomp": inject("seccomp:error=ENOSYS"),
    "the clock is years behind": old_clock,
    "no mmdebstrap": lambda v: v.without("mmdebstrap"),
    "nothing in /etc/subuid": no_subids,
    "user namespaces forbidden (Ubuntu 24.04)": no_userns,
    "no ssh": lambda v: v.without("ssh"),
    "lingering is off": dev("rm /var/lib/systemd/linger/bgcli"),
    "daemon of another version": lambda v: v.fake.on("GET", "/v1/daemon", sound(**HELPER, version="0.0.9")),
    "files that nothing names": lambda v: v.fake.on("GET", "/v1/daemon", sound(**HELPER, store=store(unused={"files": 2, "bytes": 5 << 20}))),
}
ELSEWHERE = {
    "tests/e2e/test_doctor.py": ("helper missing", "helper without setgid", "helper without its capability", "helper on a nosuid mount",
                                 "not in group banger", "helper of another build", "config.toml is wrong", "config.toml is newer than the daemon"),
    "tests/integration/daemon/test_process.py": ("a database of a newer banger",),
}
HELPER = {"helper": {"ok": True, "path": "/h", "slots": 64, "gateway": "10.209.0.1", "error": None}}


@pytest.fixture
def view(home, fake):
    if home.uid is None:
        pytest.skip("needs root: it makes a view of the machine")
    fake.on("GET", "/v1/daemon", sound(**HELPER))
    v = View(home)
    v.fake = fake
    return v


def test_each_fault_of_the_table_is_made():
    made = set(BREAK) | {fault for faults in ELSEWHERE.values() for fault in faults}
    assert made == set(catalogue())
    for path, faults in ELSEWHERE.items():
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            text = f.read()
        assert [fault for fault in faults if f'"{fault}"' not in text] == []


def says(finding, says_, remedy):
    assert any(text in finding["text"] for text in says_.split(" / ")), finding
    remedy, _, fixed = remedy.partition("; --fix does it")
    hint = (finding["hint"] or "none").replace(USER, "$USER")
    assert remedy in hint, finding
    assert bool(finding["fix"]) == ("--fix does it" in f"{_}{fixed}"), finding


@pytest.mark.parametrize("fault", BREAK)
def test_fault(view, fault):
    row, text, remedy = catalogue()[fault]
    before = view.checks()
    BREAK[fault](view)
    if row == "all":
        result = view.run("doctor")
        assert result.status == 2 and text in result.err and remedy in result.err, result
        return
    now = view.checks()
    if BREAK[fault] is real_kvm and (now[row]["state"] == "ok" or "no /dev/kvm" in now[row]["text"] or "may not open" in now[row]["text"]):
        pytest.skip("this machine has no KVM that only emulates: " + now[row]["text"])
    says(now[row], text, remedy)
    changed = [n for n in now if (now[n]["state"], n in VOLATILE or now[n]["text"]) != (before[n]["state"], n in VOLATILE or before[n]["text"])]
    assert changed == ([] if now[row] == before[row] else [row]), [now[n] for n in changed]
    assert now[row]["state"] != "ok" or remedy == "none"


def test_fix_does_what_needs_no_root_and_looks_again(view):
    """Lingering, by a loginctl that is not systemd's: what is tested with that one is in tests/packages/test_units.py."""
    view.script = "rm /var/lib/systemd/linger/bgcli; umount $v/dev/net/tun; chmod 600 $v/dev/net/tun"
    view.home.program("bin/loginctl", "#!/bin/sh\n[ \"$*\" = '--no-ask-password enable-linger' ] && : >/var/lib/systemd/linger/bgcli\n")
    result = view.run("doctor", "--fix", "--yes")
    first, again = result.out.split("loginctl enable-linger: done\n\n")
    assert "warn  logout" in first and "banger can run:\n  loginctl enable-linger " in first
    assert "Only root can run these; type them yourself:\n" in first and "  sudo modprobe tun && sudo chmod 0666 /dev/net/tun  (tun)\n" in first
    assert "ok    logout       VMs run on after a logout" in again and "fail  tun" in again and "ok    ssh" not in again
    assert result.status == 5  # tun is root's
