# SPDX-License-Identifier: ISC
"""`banger doctor`: every row has its line, what is wrong says what mends it, and the exit status tells whether VMs run."""
import json
import os
import shutil

import pytest

from conftest import BANGER
from fake_daemon import daemon

ROWS = ["daemon", "kvm", "firecracker", "qemu", "vmm", "helper", "fence", "tun", "forward", "names", "store", "storage", "disk-helper", "space", "limits",
        "landlock", "seccomp", "vsock", "clock", "build", "ssh", "logout"]


def store(**over):
    return {"mode": "ok", "file": "/s/banger.1.db", "notes": [], "orphans": [], "missing": [], "unused": {"files": 0, "bytes": 0}, **over}


def sound(**over):
    return daemon(**{"helper": {"ok": True, "path": "/h", "slots": 64, "gateway": "203.0.113.1", "error": None}, "taps": {"size": 2, "ready": 2},
                     "disk_helper": {"ok": False, "path": "/d", "error": {"code": "helper.missing", "message": "no /d", "hint": "put it"}},
                     "dns": {"address": "10.209.0.1", "error": None},
                     "store": store(), "limits": {"on": True, "reason": "each VMM has a scope"},
                     "storage": {"known": True, "driver": "reflink", "reason": "reflink: it shares blocks", "error": None}, **over})


def checks(home, *args):
    result = home.run("doctor", "--json", *args)
    record = json.loads(result.out)
    assert [c["name"] for c in record["checks"]] == ROWS
    assert all(c["state"] in ("ok", "warn", "fail") and c["text"] for c in record["checks"])
    failed = [c["name"] for c in record["checks"] if c["state"] == "fail"]
    # /dev/net/tun and the free space are the machine's own.
    assert record["ok"] == (not failed) and result.status == (5 if failed else 0), result
    return {c["name"]: c for c in record["checks"]}


def test_sound_host(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    got = checks(home)
    assert all(got[n]["state"] == "ok" for n in ("daemon", "vmm", "helper", "storage", "disk-helper", "vsock"))
    assert "64 VMs" in got["helper"]["text"] and "2 of 2 taps" in got["helper"]["text"]
    assert "not needed" in got["disk-helper"]["text"]
    assert got["limits"]["text"] == "each VMM has a scope"
    text = home.run("doctor")
    assert text.out.startswith("ok    daemon       version 0.1.0 runs, pid 4712")
    assert [line.split()[1] for line in text.out.splitlines() if line[:5].strip() in ("ok", "warn", "fail")] == ROWS


@pytest.mark.parametrize("row, over", [
    ("vmm", {"vmm": {"name": None, "error": {"message": "no qemu here", "hint": "install it"}}}),
    ("helper", {"helper": {"ok": False, "path": "/h", "slots": 0, "error": {"message": "no qemu here", "hint": "install it"}}}),
    ("storage", {"storage": {"known": True, "driver": "copy", "reason": "", "error": {"message": "no qemu here", "hint": "install it"}}}),
])
def test_what_the_daemon_misses_fails(home, fake, row, over):
    fake.on("GET", "/v1/daemon", sound(**over))
    got = checks(home)[row]
    assert (got["state"], got["text"], got["hint"]) == ("fail", "no qemu here", "install it")
    result = home.run("doctor")
    assert result.status == 5
    assert f"fail  {row:12} no qemu here\n{'':19}install it\n" in result.out
    assert "VMs cannot be run here" in result.out.splitlines()[-1]


def test_route_of_the_hosts_in_the_pool(home, fake):
    """Named, with the interface: the machine's own first route plays the one that is in the way."""
    with open("/proc/net/route") as f:
        routes = [line.split() for line in f.readlines()[1:]]
    mine = [r for r in routes if r[7] != "00000000" and r[0] != "*" and not r[0].startswith("bgr")]
    if not mine:
        pytest.skip("this machine has no route but the default one")
    net = bytes.fromhex(mine[0][1])[::-1]
    over = {"ok": True, "path": "/h", "slots": 64, "gateway": ".".join(map(str, net[:3])) + ".1", "error": None}
    fake.on("GET", "/v1/daemon", sound(helper=over))
    found = checks(home)["fence"]
    assert found["state"] == "fail" and f"by {mine[0][0]}" in found["text"] and "pool" in found["hint"]
    assert ".".join(map(str, net)) + "/" in found["text"]


@pytest.mark.parametrize("over, text, hint", [
    ({"mode": "full"}, "no room", "free some room"),
    ({"mode": "read-only"}, "cannot be written", "daemon status"),
    ({"mode": "silent"}, "not answered", "disk"),
    ({"orphans": [{"kind": "vm", "name": "0123", "path": "vms/0123", "why": "it has no record"}]}, 'vm "0123" in vms/0123, it has no record', "doctor --remove vms/0123`"),
    ({"notes": ["the database was missing and was made anew"]}, "was missing", "store.notes"),
    ({"unused": {"files": 2, "bytes": 5 << 20}}, "2 files of images that nothing names, 5M", "image prune"),
    ({"missing": [{"name": "web", "path": "/s/vms/01/root.img"}]}, 'the disks of 1 VM are missing: of "web" there is no /s/vms/01/root.img', "vm delete web"),
    ({"missing": [{"name": "a", "path": "/s/vms/01"}, {"name": "b", "path": "/s/vms/02"}]}, 'of 2 VMs are missing: of "a" there is no /s/vms/01, and others',
     "put them back"),
])
def test_what_the_store_has_to_say(home, fake, over, text, hint):
    fake.on("GET", "/v1/daemon", sound(store=store(**over)))
    got = checks(home)["store"]
    assert got["state"] == "warn" and text in got["text"] and hint in got["hint"]


def test_the_store_says_all_of_it(home, fake):
    fake.on("GET", "/v1/daemon", sound(store=store(
        notes=["the database was missing and was made anew"], unused={"files": 1, "bytes": 5 << 20}, missing=[{"name": "web", "path": "/s/vms/01"}],
        orphans=[{"kind": "vm", "name": "0123", "path": "vms/0123", "why": "it has no record"}])))
    got = checks(home)["store"]
    assert all(t in got["text"] for t in ("there is no /s/vms/01; ", "vms/0123, it has no record; ", "made anew; 1 file of images that nothing names, 5M"))
    assert all(h in got["hint"] for h in ("vm delete web", "doctor --remove vms/0123", "store.notes", "`banger image prune` removes it"))


def test_storage_and_the_kernels_that_lack_what_it_needs(home, fake):
    storage = {"known": True, "driver": "guest-cow", "reason": "guest-cow: only what differs", "copied_kernels": [], "error": None}
    fake.on("GET", "/v1/daemon", sound(storage=storage))
    got = checks(home)
    assert got["storage"] == {"name": "storage", "state": "ok", "text": "guest-cow: only what differs", "hint": None, "fix": None}
    assert got["disk-helper"]["state"] == "ok" and "not needed: storage is guest-cow" in got["disk-helper"]["text"]
    fake.on("GET", "/v1/daemon", sound(storage={**storage, "copied_kernels": ["old", "tiny"]}))
    got = checks(home)["storage"]
    assert got["state"] == "warn" and "not with kernel old, tiny, whose VMs get copies" in got["text"] and "kernel import" in got["hint"]


@pytest.mark.parametrize("version, state, words", [
    ("Firecracker v1.7.3", "warn", "version 1.7.3, older than 1.8"),
    ("Firecracker v1.8.0", "ok", "version 1.8.0"),
    ("Firecracker v1.10.1", "ok", "version 1.10.1"),
    ("Firecracker v1.16.0", "warn", "version 1.16.0, which loses the agents of VMs that were paused"),
    ("Firecracker v1.16.1", "warn", "version 1.16.1, which loses"),
    ("Firecracker v1.16.2", "ok", "version 1.16.2"),
    ("nonsense", "warn", "cannot say its --version"),
])
def test_firecracker_by_version(home, fake, version, state, words):
    fake.on("GET", "/v1/daemon", sound())
    path = home.program("bin/firecracker", f"#!/bin/sh\necho '{version}'\n")
    got = checks(home)["firecracker"]
    assert got["state"] == state and got["text"].startswith(path) and words in got["text"]


@pytest.mark.parametrize("version, state, words", [
    ("QEMU emulator version 5.2.0 (Debian 1:5.2)", "warn", "version 5.2.0, older than 7.2"),
    ("QEMU emulator version 7.2.9 (Debian 1:7.2)", "ok", "version 7.2.9"),
])
def test_qemu_by_version(home, fake, version, state, words):
    fake.on("GET", "/v1/daemon", sound())
    path = home.program("bin/qemu-system-x86_64", f"#!/bin/sh\necho '{version}'\n")
    got = checks(home)["qemu"]
    assert got["state"] == state and got["text"].startswith(path) and words in got["text"]
    assert state == "ok" or "qemu_bin" in got["hint"]


def faulted(home, *faults):
    """What doctor says while system calls of its own are made to fail, or to say something else."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + ",".join(call for call, _ in faults)]
    for call, fault in faults:
        command += ["-e", f"inject={call}:{fault}"]
    r = home.run("doctor", "--json", before=command)
    return {c["name"]: c for c in json.loads(r.out)["checks"]}


def differs(home, *faults):
    """The rows that such a fault changes: that one, and no other."""
    sound_ones, now = checks(home), faulted(home, *faults)
    return {name: now[name] for name in now if now[name]["state"] != sound_ones[name]["state"]}


def test_network_file_system(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    os.makedirs(home.path + "/.local/state/banger", exist_ok=True)
    home.own(home.path)
    got = faulted(home, ("statfs", "poke_exit=@arg2=6969000000000000"))["space"]
    assert got["state"] == "warn" and "(NFS)" in got["text"] and "XDG_STATE_HOME" in got["hint"]


def test_no_user_namespace(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    got = faulted(home, ("unshare", "error=EPERM"))["build"]
    assert got["state"] == "warn" and got["hint"]


def test_no_landlock_no_seccomp(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    got = differs(home, ("landlock_create_ruleset,seccomp", "error=ENOSYS"))
    assert got["seccomp"]["state"] == "fail" and "CONFIG_SECCOMP" in got["seccomp"]["hint"]
    assert set(got) <= {"seccomp", "landlock"} and got.get("landlock", {"hint": "landlock"})["hint"]


def test_strict_takes_a_warning_for_a_failure(home, fake):
    fake.on("GET", "/v1/daemon", sound(store=store(mode="full")))
    failed = any(c["state"] == "fail" for c in checks(home).values())
    assert home.run("doctor", "--strict").status == 5
    assert home.run("doctor").status == (5 if failed else 0)


def test_programs_by_config(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    os.makedirs(home.path + "/.config/banger")
    with open(home.path + "/.config/banger/config.toml", "w", encoding="utf-8") as file:
        file.write('vmm = "firecracker"\nfirecracker_bin = "/nowhere/fc"\n')
    home.own(home.path)
    got = checks(home)
    assert got["firecracker"]["state"] == "fail" and "/nowhere/fc is not there" in got["firecracker"]["text"]
    assert got["qemu"]["state"] == "ok" and "not needed" in got["qemu"]["text"]


@pytest.fixture
def broken(home):
    """A home whose bangerd cannot start."""
    os.makedirs(home.path + "/cli")
    home.banger = shutil.copy(BANGER, home.path + "/cli/banger")
    home.program("daemon/bangerd", "#!/bin/sh\necho 'no luck today' >&2\nexit 1\n")
    return home


def test_without_a_daemon(broken):
    """Its words, and what the machine itself shows."""
    got = checks(broken)
    assert got["daemon"]["state"] == "fail" and "no luck today" in got["daemon"]["text"]
    assert got["vmm"]["state"] == got["storage"]["state"] == "warn"
    assert got["qemu"]["text"] and got["space"]["text"]


def test_helper_that_is_not_installed(broken):
    broken.env["BANGER_PRIVHELPER"] = broken.path + "/none"
    got = checks(broken)["helper"]
    assert got["state"] == "fail" and "install-helper" in got["hint"]


ORPHANS = [{"kind": "vm", "name": "0123", "path": "vms/0123", "why": "it has no record"},
           {"kind": "image", "name": "old", "path": "set-aside/images-old", "why": "it was set aside"},
           {"kind": "kernel", "name": "old", "path": "set-aside/kernels-old", "why": "it was set aside"}]


@pytest.fixture
def littered(fake):
    fake.on("GET", "/v1/daemon", sound(store=store(orphans=ORPHANS)))
    fake.on("POST", "/v1/daemon/orphans/remove", sound())
    return fake


def test_a_folder_is_removed_when_that_is_said(home, littered):
    t = home.terminal("doctor", "--remove", "0123", columns=200)
    t.wait_for("[y/N]")
    assert 'vms/0123, of vm "0123"' in t.text and not littered.asked("POST", "/v1/daemon/orphans/remove")
    t.type("n\n")
    r = t.finish()
    assert r.status == 130 and "nothing was removed" in r.out and not littered.asked("POST", "/v1/daemon/orphans/remove")
    t = home.terminal("doctor", "--remove", "0123", columns=200)
    t.wait_for("[y/N]")
    t.type("y\n")
    r = t.finish()
    assert r.status == 0 and "/vms/0123 removed" in r.out and littered.asked("POST", "/v1/daemon/orphans/remove")


def test_removal_needs_a_terminal_or_force_and_one_folder(home, littered):
    r = home.run("doctor", "--remove", "0123", stdin="y\n")
    assert r.status == 2 and "no terminal" in r.err and "--force" in r.err
    r = home.run("doctor", "--remove", "old", "--force")
    assert r.status == 2 and '2 folders are named "old"' in r.err
    r = home.run("doctor", "--remove", "nothing", "--force")
    assert r.status == 3 and '"nothing"' in r.err
    assert not littered.asked("POST", "/v1/daemon/orphans/remove")
    r = home.run("doctor", "--remove", "set-aside/images-old", "--force")
    assert r.status == 0 and "set-aside/images-old removed" in r.out and littered.asked("POST", "/v1/daemon/orphans/remove")


UNUSED = {"files": 2, "bytes": 5 << 20}


@pytest.fixture
def fixable(home, fake):
    """Files that nothing names, until they are pruned."""
    fake.on("GET", "/v1/daemon", sound(store=store(unused=UNUSED)))

    def prune(connection):
        fake.on("GET", "/v1/daemon", sound())
        connection.json({"files": 2, "unused": 2, "bytes": 5 << 20})

    fake.on("POST", "/v1/images/prune", prune)
    home.program("bin/loginctl", "#!/bin/sh\nexit 1\n")  # where this machine has systemd, lingering is not this test's to turn on
    return fake


def pruned(fake):
    return fake.asked("POST", "/v1/images/prune")


def test_fix_asks_on_the_terminal(home, fixable):
    t = home.terminal("doctor", "--fix", columns=200, env={"NO_COLOR": "1"})
    t.wait_for("[y/N]")
    assert "banger image prune " in t.text and "removes files that nothing names" in t.text and not pruned(fixable)
    t.type("n\n")
    r = t.finish()
    assert r.status == 130 and "nothing was run" in r.out and not pruned(fixable)
    t = home.terminal("doctor", "--fix", columns=200, env={"NO_COLOR": "1"})
    t.wait_for("[y/N]")
    t.type("y\n")
    r = t.finish()
    assert "banger image prune: done" in r.out and pruned(fixable)
    assert "ok    store" in r.out.split("done")[1]


def test_fix_runs_nothing_without_a_terminal_or_yes(home, fixable):
    for args in (("doctor", "--fix"), ("doctor", "--fix", "--json")):
        r = home.run(*args, stdin="y\n")
        assert r.status == 2 and "no terminal to ask on" in r.err and "--yes" in r.err and not pruned(fixable), r
    r = home.run("doctor", "--fix", "--remove", "x")
    assert r.status == 2 and "exclude" in r.err


def test_fix_in_json(home, fixable):
    r = home.run("doctor", "--fix", "--yes", "--json")
    record = json.loads(r.out)
    assert {"check": "store", "command": "banger image prune", "done": True, "error": None} in record["fixes"]
    assert next(c for c in record["checks"] if c["name"] == "store")["state"] == "ok"


def test_a_remedy_that_fails_is_said_and_counts(home, fixable):
    fixable.on("POST", "/v1/images/prune", lambda c: c.error(500, "io", "the disk is gone", None))
    r = home.run("doctor", "--fix", "--yes")
    assert "banger image prune: banger: the disk is gone" in r.out, r
    assert r.status in (1, 5) and r.status == (5 if "VMs cannot be run" in r.out else 1)


def test_nothing_to_fix(home, fake):
    fake.on("GET", "/v1/daemon", sound())
    home.program("bin/loginctl", "#!/bin/sh\nexit 1\n")
    r = home.run("doctor", "--fix", "--yes")
    if "lingering is off" not in r.out:
        assert "There is nothing that banger can fix without root." in r.out and ": done" not in r.out
