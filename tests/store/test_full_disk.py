# SPDX-License-Identifier: ISC
"""No byte left, or none that the quota allows, under the whole daemon: what gives room back works, the daemon starts, what cannot be done says
so and leaves nothing."""
import os
import signal
import subprocess

import pytest

from conftest import Host, wait_for
from loopdisk import fill, loop_disk
from playedhost import listed

KINDS = ("ext4", "btrfs-quota")
MIB = 256


@pytest.fixture(params=KINDS)
def full(request, user):
    with loop_disk(user, request.param, MIB) as folder:
        host = Host(user, home=folder)
        try:
            host.make_image()
            host.kind, host.bundle = request.param, user.home + "/bundle"
            host.banger("image", "export", "r", host.bundle)
            host.banger("image", "import", host.bundle, "--name", "i")
            for name in ("stopped", "killed", "deleted", "later", "last"):
                host.make_vm(name, *([] if name in ("stopped", "killed") else ["--no-start"]))
            log_of(host, "last", 8 << 20)
            fill(user, folder)
            yield host
        finally:
            host.kill()


def log_of(host, name, size):
    [vm] = [vm for vm in host.facts().vms if vm["name"] == name]
    path = f"{host.state}/vms/{vm['id']}/serial.log"
    with open(path, "wb") as f:
        f.write(os.urandom(size))
    os.chown(path, host.user.uid, host.user.gid)


def engine(host):
    return host.ask("/v1/daemon")[0]["pid"]


def without_reserve(full):
    if os.path.exists(full.state + "/store.reserve"):
        os.unlink(full.state + "/store.reserve")
    fill(full.user, full.home)


def delete_behind_others(full):
    """Rows that nobody waits for, and for which there is no room, come to the disk together with the word that a VM goes."""
    store = full.ask("/v1/daemon")[0]["store"]["pid"]
    os.kill(store, signal.SIGSTOP)
    deletion = None
    try:
        full.banger("vm", "stop", "stopped")
        full.banger("vm", "kill", "killed")
        deletion = full.user.popen([full.programs + "/cli/banger", "vm", "delete", "deleted"], env=full.env, stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any(op["kind"] == "vm.delete" and op["state"] == "running" for op in full.ask("/v1/operations")[0]["operations"]))
    finally:
        os.kill(store, signal.SIGCONT)
        said = deletion.communicate(timeout=120)[1] if deletion else "not begun"
    assert deletion and deletion.returncode == 0, said


def test_the_daemon_starts_on_a_full_disk(full):
    os.kill(engine(full), signal.SIGKILL)
    full.banger("vm", "list")
    fill(full.user, full.home)
    full.banger("daemon", "restart")
    assert len(full.facts().vms) == 5


def test_a_full_disk_has_a_way_out(full):
    before = engine(full)
    blobs = set(listed(full.state + "/blobs"))
    for i in range(20):  # what cannot be kept says so
        r = full.banger("vm", "set", "later", "--label", f"k{i}={'x' * 200}", ok=False)
        assert r.returncode == 0 or r.stderr.strip(), r
    fill(full.user, full.home)
    r = full.banger("image", "import", full.bundle, "--name", "new", ok=False)
    assert r.returncode and ("room" in r.stderr or "space" in r.stderr or "quota" in r.stderr), r
    r = full.banger("vm", "create", "new", "--image", "i", "--cpus", "1", "--memory", "128M", "--no-start", ok=False)
    assert r.stderr.strip()
    if r.returncode == 0:  # the reserve was given up for the import's undo
        full.banger("vm", "delete", "new")
    assert not {"new"} & (set(full.facts().names()["vms"]) | full.facts().names()["images"])
    assert full.facts().unlisted() == [] and set(listed(full.state + "/blobs")) == blobs
    fill(full.user, full.home)
    delete_behind_others(full)
    without_reserve(full)
    full.banger("vm", "delete", "last")  # ext4: by a mark on its folder; btrfs, which cannot even do that: its files go first
    assert engine(full) == before, "it died"
    fill(full.user, full.home)
    full.banger("daemon", "stop")
    fill(full.user, full.home)
    if full.kind == "btrfs-quota":  # its reserve is spent, and there nothing is written in its place: said, and the least room helps
        r = full.banger("vm", "list", ok=False)
        assert r.returncode == 5 and "quota" in r.stderr and "free some room" in r.stderr, r
        os.unlink(full.home + "/fill.1")
    full.banger("vm", "list")
    states = {vm["name"]: vm["state"] for vm in full.facts().vms}
    assert states == {"stopped": "stopped", "killed": "stopped", "later": "stopped"}
    os.kill(engine(full), signal.SIGKILL)
    full.banger("vm", "delete", "later")
    full.banger("image", "delete", "i")
    full.user.run(["sh", "-c", "rm -f \"$1\"/fill.*", "sh", full.home], check=True)
    wait_for(lambda: not listed(full.state + "/trash"))
    full.make_vm("new")
    assert set(full.facts().names()["vms"]) == {"stopped", "killed", "new"} and full.facts().unlisted() == []
