# SPDX-License-Identifier: ISC
"""Many VMs, changes of a VM, published ports, ssh NAME.vm: on one real guest, and on ten that are made at once."""
import json
import os
import pwd
import socket
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, as_user, own_taps, wait_for
from ports import free_port

NAME = "t-many"
TEN_S = 360  # ten boots in software; an idle machine of two cores needs a quarter of it


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def guest(banger, port):
    banger("vm", "delete", NAME)
    banger.ok("vm", "create", NAME, "--label", "suite=many", "-p", f"{port}:22", "--timing")
    yield lambda command: banger.ok("vm", "ssh", NAME, "--", command).out
    banger("vm", "delete", NAME)


def sizes(guest):
    """MiB of / and /root as the guest sees them."""
    return [int(line) for line in guest("df -BM --output=size / /root | tr -d M").split()[1:]]


def test_disks_grow_while_the_guest_runs(banger, guest):
    record = banger.json("vm", "show", NAME)
    if record["storage"] == "dm-snapshot":
        pytest.skip("an overlay grows only while its VM is stopped")
    before = sizes(guest)
    disk, work = record["disk_mib"] + 1024, record["work_mib"] + 512
    guest("sync; echo kept > /root/mark; sync")
    r = banger.ok("vm", "set", NAME, "--disk-size", f"{disk}M", "--work-size", f"{work}M", "--timing")
    assert r.out.startswith(f"{NAME} changed in "), r
    after = sizes(guest)
    assert after[0] - before[0] > 900 and after[1] - before[1] > 400, (before, after)
    assert guest("cat /root/mark") == "kept\n"
    record = banger.json("vm", "show", NAME)
    assert (record["disk_mib"], record["work_mib"]) == (disk, work) and record["state"] == "running"
    banger.fails(2, "cannot shrink", "vm", "set", NAME, "--disk-size", "1G")
    banger.fails(4, "while it is stopped", "vm", "set", NAME, "--memory", "640M")


def test_a_published_port_leads_to_the_guest(banger, guest, port):
    def greeting():
        with socket.create_connection(("127.0.0.1", port), 30) as s:
            return s.recv(64)

    assert greeting().startswith(b"SSH-2.0-"), "the guest's sshd, through the port given at create"
    other = free_port()
    banger.ok("vm", "set", NAME, "--publish", f"{other}:7", "--unpublish", str(port))
    with pytest.raises(ConnectionRefusedError):
        greeting()
    banger.ok("vm", "set", NAME, "--publish", f"{other}:22")
    # a command that ends when its input does: half a close there, and its answer back, through the relay
    ssh = banger.json("vm", "show", NAME)["ssh"]
    r = as_user(["sh", "-c", f"f=$(mktemp); head -c 5000000 /dev/urandom > $f; sha256sum < $f; "
                 f"ssh -F none -p {other} -i {ssh['key']} -o UserKnownHostsFile={ssh['known_hosts']} -o HostKeyAlias={NAME} "
                 "-o BatchMode=yes root@127.0.0.1 sha256sum < $f; rm $f"],
                capture_output=True, text=True, timeout=120)
    here, there = r.stdout.splitlines()
    assert here == there, r


RSYNC = r"""
cd "$1" && mkdir -p program tree/d
ldd "$(command -v rsync)" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | grep -v /libc.so | xargs cp -L -t program "$(command -v rsync)"
echo 1 >tree/a; echo 2 >tree/d/b; ln -s a tree/l; head -c 1000000 /dev/urandom >tree/d/c
"""


def rsync(banger, guest, run):
    """Both ways through `NAME.vm`. The image has no rsync: it gets this machine's, with its libraries, which are of the same Debian."""
    folder = run("mktemp -d").strip()
    try:
        run(f"set -- {folder}; {RSYNC}")
        banger.ok("vm", "cp", folder + "/program", f"{NAME}:/root/")
        there = "--rsync-path='LD_LIBRARY_PATH=/root/program /root/program/rsync' -e 'ssh -oBatchMode=yes'"
        run(f"rsync -a {there} {folder}/tree/ {NAME}.vm:tree/")
        assert guest("cat tree/l tree/d/b") == "1\n2\n"
        assert run(f"sha256sum < {folder}/tree/d/c") == guest("sha256sum < tree/d/c")
        guest("echo 3 >tree/new; rm tree/a")
        run(f"rsync -a --delete {there} {NAME}.vm:tree/ {folder}/tree/")
        assert run(f"ls {folder}/tree") == "d\nl\nnew\n"
    finally:
        run(f"rm -rf {folder}")
        guest("rm -rf program tree")


def test_plain_ssh_scp_and_rsync(banger, guest):
    before = as_user(["sh", "-c", "cat ~/.ssh/config 2>/dev/null | sha256sum"], capture_output=True, text=True).stdout
    banger.ok("ssh-config", "--install")
    try:
        def run(command):
            r = as_user(["sh", "-c", command], capture_output=True, text=True, timeout=120)
            assert r.returncode == 0, r
            return r.stdout

        assert run(f"ssh -oBatchMode=yes {NAME}.vm hostname") == NAME + "\n"
        file = run("mktemp").strip()
        run(f"head -c 3000000 /dev/urandom > {file} && scp -q {file} {NAME}.vm:got")
        assert run(f"sha256sum < {file}; rm {file}") == guest("sha256sum < got")
        rsync(banger, guest, run)
        r = as_user(["ssh", "-oBatchMode=yes", "nobody-has-that.vm"], capture_output=True, text=True, timeout=60)
        assert r.returncode == 255 and 'no VM named "nobody-has-that"' in r.stderr, r
    finally:
        banger.ok("ssh-config", "--uninstall")
    after = as_user(["sh", "-c", "cat ~/.ssh/config 2>/dev/null | sha256sum"], capture_output=True, text=True).stdout
    assert after == before


def test_stopped_resized_and_started(banger, guest):
    banger.ok("vm", "stop", NAME)
    r = as_user(["sh", "-c", f"BANGER={BUILD}/cli/banger; $BANGER ssh-proxy {NAME}.vm 22"], capture_output=True, text=True)
    assert r.returncode == 4 and f"banger vm start {NAME}" in r.stderr, r
    record = banger.json("vm", "show", NAME)
    banger.ok("vm", "set", NAME, "--memory", "640M", "--cpus", "1", "--disk-size", f"{record['disk_mib'] + 512}M",
              "--label", "suite-", "--label", "size=other")
    assert NAME not in banger.ok("vm", "list", "-l", "suite").out
    assert NAME in banger.ok("vm", "list", "-l", "size=other").out
    banger.ok("vm", "start", NAME)
    assert guest("nproc") == "1\n" and 500 < int(guest("free -m | awk '/Mem:/ {print $2}'")) < 640
    assert sizes(guest)[0] > record["disk_mib"] * 0.9 + 400
    # the console of this start alone
    boots = banger.ok("vm", "logs", NAME).out.count("banger-init:")
    last = banger.ok("vm", "logs", "--boot", NAME).out.count("banger-init:")
    assert 0 < last < boots, (last, boots)


def test_kill_with_a_signal(banger, guest):
    banger.ok("vm", "kill", "--signal", "CONT", NAME)
    assert banger.json("vm", "show", NAME)["state"] == "running"
    assert banger.ok("vm", "kill", "--signal", "TERM", NAME).out.startswith(f"{NAME} killed in")
    assert banger.json("vm", "show", NAME)["state"] == "stopped"


def of_the_vms(ids):
    """What there is of these VMs on this host: processes, folders for sockets and of disks."""
    user = pwd.getpwnam(os.environ.get("BANGER_USER", "banger-dev"))
    commands = subprocess.run(["pgrep", "-a", "-u", str(user.pw_uid)], capture_output=True, text=True).stdout
    folders = [f"{user.pw_dir}/.local/state/banger/{name}" for name in ("run/vm", "vms")]
    files = [name for f in folders if os.path.isdir(f) for name in os.listdir(f)]
    trash = f"{user.pw_dir}/.local/state/banger/trash"
    return [i for i in ids if i in commands] + [n for n in files if any(i.startswith(n[:12]) for i in ids)] + \
        (os.listdir(trash) if os.path.isdir(trash) else [])


def test_ten_at_once(banger):
    """Ten processes of the CLI, each with a create: real disks, real helper, real guests, and every one of them ready."""
    wanted = [f"t-ten-{i}" for i in range(10)]
    banger("vm", "delete", "--parallel", "10", *wanted)
    uid = pwd.getpwnam(os.environ.get("BANGER_USER", "banger-dev")).pw_uid
    taps = len(own_taps(uid))
    argv = [os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "create"]
    began = time.monotonic()
    creates = [subprocess.Popen([*argv, name, "--memory", "384M", "--cpus", "1", "--json"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for name in wanted]
    ended = [(p, *p.communicate(timeout=TEN_S)) for p in creates]
    took = time.monotonic() - began
    for process, out, err in ended:
        assert process.returncode == 0, (out, err)
    records = [json.loads(out) for _, out, _ in ended]
    assert [r["name"] for r in records] == wanted
    assert all(r["state"] == "running" and r["ready"] and r["error"] is None for r in records), records
    print(f"ten guests ready in {took:.1f} s")
    for record in records:
        assert banger.ok("vm", "exec", record["name"], "--", "hostname").out == record["name"] + "\n"
    ids = [r["id"] for r in records]
    assert len(of_the_vms(ids)) >= 3 * len(ids) and len(own_taps(uid)) >= len(ids)
    stopped = banger.ok("vm", "stop", "t-ten-[0-4]", "--timing")
    assert sorted(line.split()[0] for line in stopped.out.splitlines()) == wanted[:5]
    gone = banger.ok("vm", "delete", "t-ten-*")
    assert sorted(line.split()[0] for line in gone.out.splitlines()) == wanted
    wait_for(lambda: not of_the_vms(ids) and len(own_taps(uid)) <= taps, 60)
    banger.fails(3, "no VM's name matches", "vm", "delete", "t-ten-*")
