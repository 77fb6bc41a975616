# SPDX-License-Identifier: ISC
"""vm cp, vm ports, vm stats, vm connect, and vm ssh by way of the agent, on a real guest."""
import json
import os
import subprocess

import pytest

from conftest import BUILD, ROOT, as_user

NAME = "t-cp"


@pytest.fixture(scope="module")
def guest(banger):
    banger("vm", "delete", NAME)
    banger.ok("vm", "create", NAME)
    yield banger
    banger("vm", "delete", NAME)


@pytest.fixture(scope="module")
def folder():
    """A folder of the ordinary user's own, gone afterwards."""
    path = as_user(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


def sh(command, **kw):
    return as_user(["sh", "-c", command], check=True, capture_output=True, text=True, **kw).stdout


def inside(banger, command):
    return banger.ok("vm", "exec", NAME, "--", "sh", "-c", command).out


def test_a_tree_there_and_back(guest, folder):
    sh(f"""mkdir -p {folder}/tree/a/b && cd {folder}/tree && head -c 300000 /dev/urandom >a/b/data && ln -s ../nowhere link &&
           printf x >'odd name' && chmod 750 a && touch -d 2001-02-03 a && truncate -s 20M hole && chmod 4711 'odd name'""")
    guest.ok("vm", "cp", f"{folder}/tree", f"{NAME}:/srv/copy")
    seen = inside(guest, "cd /srv/copy && stat -c '%U:%G %a' 'odd name' && readlink link && stat -c %b hole && stat -c %Y a")
    assert seen.split("\n")[:3] == ["root:root 4711", "../nowhere", "0"]
    guest.ok("vm", "cp", f"{NAME}:/srv/copy", f"{folder}/back")
    sh(f"cd {folder} && diff -r --no-dereference tree back && test $(stat -c %b back/hole) = 0")
    assert sh(f"stat -c '%a' {folder}/back/a '{folder}/back/odd name'").split() == ["750", "711"]


def test_one_file_into_a_folder_and_as_a_name(guest, folder):
    sh(f"echo text >{folder}/f")
    guest.ok("vm", "cp", f"{folder}/f", f"{NAME}:")
    guest.ok("vm", "cp", f"{folder}/f", f"{NAME}:/srv/g")
    assert inside(guest, "cat /root/f /srv/g") == "text\ntext\n"
    guest.ok("vm", "cp", f"{NAME}:f", f"{folder}/h")
    assert sh(f"cat {folder}/h") == "text\n"


def test_tar_streams(guest, folder):
    cli = os.path.join(BUILD, "cli", "banger")
    sh(f"mkdir -p {folder}/s/t && echo 1 >{folder}/s/t/one && cd {folder} && tar c s | {cli} vm cp - {NAME}:/srv")
    assert inside(guest, "cat /srv/s/t/one") == "1\n"
    assert "s/t/one" in sh(f"{cli} vm cp {NAME}:/srv/s - | tar t")


@pytest.mark.parametrize("args, status, text", [
    (("/etc/hostname", "/tmp/x"), 2, "neither side"),
    ((f"{NAME}:/a", f"{NAME}:/b"), 2, "both sides"),
    (("/no/such", f"{NAME}:/srv"), 1, "read /no/such: No such file"),
    ((f"{NAME}:/no/such", "/tmp"), 1, f"{NAME}: read /no/such: No such file"),
    (("/etc/hostname", f"{NAME}:/no/such/folder"), 1, f"{NAME}: folder /no/such: No such file"),
    ((f"{NAME}:/etc/hostname", "/no/such/folder"), 1, "folder /no/such: No such file"),
    (("/etc/hostname", "no-such-vm:/srv"), 3, "no-such-vm"),
])
def test_what_cannot_be_copied(guest, args, status, text):
    guest.fails(status, text, "vm", "cp", *args)


def test_ports(guest):
    ports = guest.json("vm", "ports", NAME)
    assert any(p["port"] == 22 and p["protocol"] == "tcp" and p["process"] in ("sshd", "systemd") and p["pid"] for p in ports)
    assert "sshd" in guest.ok("vm", "ports", NAME).out


def test_stats(guest):
    stats = guest.json("vm", "stats", NAME)
    assert stats["host"]["memory_bytes"] > 50 << 20 and stats["host"]["disk_bytes"] > 0
    assert 0 < stats["guest"]["memory_available_kib"] < stats["guest"]["memory_total_kib"]
    assert 0 < stats["guest"]["disk_used_bytes"] < stats["guest"]["disk_total_bytes"]
    text = guest.ok("vm", "stats", NAME).out
    assert "host cpu" in text and "disk /root" in text


def test_ssh_goes_through_the_agent_when_the_network_is_broken(guest):
    inside(guest, "ip link set eth0 down")
    result = guest.ok("vm", "ssh", NAME, "--", "echo from $(hostname)")
    assert result.out == f"from {NAME}\n" and "ssh goes through its agent" in result.err
    inside(guest, "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -x sshd; true")
    result = guest("vm", "ssh", NAME, "--", "echo still $(hostname); exit 5")
    assert (result.status, result.out) == (5, f"still {NAME}\n") and "a shell of its agent instead" in result.err
