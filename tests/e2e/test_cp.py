# SPDX-License-Identifier: ISC
"""vm cp, vm ports, vm stats, vm connect, and vm ssh by way of the agent, on a real guest."""
import os
import subprocess

import pytest

from conftest import BUILD, ROOT, as_user, wait_for

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


def test_several_sources_and_the_content_of_a_folder(guest, folder):
    sh(f"mkdir -p {folder}/m/sub && cd {folder}/m && echo 1 >one && echo 2 >two && echo 3 >sub/.hidden")
    inside(guest, "mkdir /srv/many /srv/content")
    guest.ok("vm", "cp", f"{folder}/m/one", f"{folder}/m/two", f"{folder}/m/sub", f"{NAME}:/srv/many")
    assert inside(guest, "cd /srv/many && cat one two sub/.hidden") == "1\n2\n3\n"
    guest.ok("vm", "cp", f"{folder}/m/.", f"{NAME}:/srv/content")
    guest.ok("vm", "cp", f"{folder}/m/.", f"{NAME}:/srv/new")
    assert inside(guest, "cd /srv && cat content/one content/sub/.hidden new/two") == "1\n3\n2\n"
    sh(f"mkdir {folder}/out")
    guest.ok("vm", "cp", f"{NAME}:/srv/many/one", f"{NAME}:/srv/many/sub", f"{folder}/out")
    guest.ok("vm", "cp", f"{NAME}:/srv/content/.", f"{folder}/out/new")
    guest.ok("vm", "cp", f"{NAME}:/srv/content/.", f"{folder}/out/sub")
    assert sh(f"cd {folder}/out && cat one sub/.hidden new/two sub/two sub/sub/.hidden") == "1\n3\n2\n2\n3\n"


def test_home_and_from_one_vm_to_another(guest, folder):
    inside(guest, "mkdir -p ~/here && echo home >~/here/f && touch -d @1000000000.25 ~/here/f")
    guest.ok("vm", "cp", f"{NAME}:~/here/f", f"{folder}/home-f")
    assert sh(f"cat {folder}/home-f && stat -c %.Y {folder}/home-f") == "home\n1000000000.250000000\n"
    guest.ok("vm", "cp", f"{NAME}:~/here", f"{NAME}:/srv/from-vm")
    guest.ok("vm", "cp", f"{NAME}:here/f", f"{NAME}:/srv")
    assert inside(guest, "cat /srv/from-vm/f /srv/f; stat -c %.Y /srv/from-vm/f") == "home\nhome\n1000000000.250000000\n"


def test_what_tells_no_size(guest, folder):
    guest.ok("vm", "cp", f"{NAME}:/proc/version", f"{NAME}:/sys/class/net/lo/mtu", f"{NAME}:/dev/null", folder)
    assert sh(f"cat {folder}/version").startswith("Linux version") and sh(f"cat {folder}/mtu") == "65536\n"
    assert sh(f"test -f {folder}/null && wc -c <{folder}/null").strip() == "0"
    cli = os.path.join(BUILD, "cli", "banger")
    as_user(["bash", "-c", f"{cli} vm cp <(seq 50000) {NAME}:/srv/seq"], check=True)
    assert inside(guest, "tail -n 1 /srv/seq; test -f /srv/seq").strip() == "50000"


def test_nothing_of_ours_is_reached_through_a_link(guest, folder):
    sh(f"mkdir {folder}/safe {folder}/into && echo safe >{folder}/safe/f && ln -s ../safe {folder}/into/x && ln -s ../safe/f {folder}/into/f")
    inside(guest, "mkdir -p /srv/x && echo evil >/srv/x/f && echo new >/srv/f")
    guest.fails(1, "is a link to a folder", "vm", "cp", f"{NAME}:/srv/x/f", f"{folder}/into/x")
    guest.fails(1, "x is there and no folder", "vm", "cp", f"{NAME}:/srv/x", f"{folder}/into")
    guest.ok("vm", "cp", f"{NAME}:/srv/f", f"{folder}/into")
    assert sh(f"cat {folder}/safe/f {folder}/into/f") == "safe\nnew\n"
    guest.ok("vm", "cp", f"{NAME}:/srv/f", f"{folder}/into/x/")
    assert sh(f"cat {folder}/safe/f") == "new\n"


def test_the_umask_holds(guest, folder):
    inside(guest, "mkdir -m 777 /srv/open && install -m 777 /dev/null /srv/open/f")
    cli = os.path.join(BUILD, "cli", "banger")
    sh(f"umask 077; {cli} vm cp {NAME}:/srv/open {folder}/open")
    assert sh(f"stat -c %a {folder}/open {folder}/open/f").split() == ["700", "700"]


def test_a_copy_that_is_interrupted_leaves_nothing(guest, folder):
    sh(f"mkdir {folder}/cut")
    process = subprocess.Popen([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "cp",
                                f"{NAME}:/", f"{folder}/cut/all"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: sh(f"find {folder}/cut -name '.banger-part-*' | head -n 1"), 60)
    process.kill()
    process.wait()
    wait_for(lambda: not sh(f"find {folder}/cut -name '.banger-part-*'"), 60)


@pytest.mark.parametrize("args, status, text", [
    (("/etc/hostname", "/tmp/x"), 2, "both on this machine"),
    ((f"{NAME}:/etc/hostname", "/etc/hostname", "HERE"), 2, "both on this machine"),
    (("-", "/etc/hostname", f"{NAME}:/srv"), 2, "stands alone"),
    ((f"{NAME}:/no/such", f"{NAME}:/srv"), 1, f"{NAME}: read /no/such: No such file"),
    ((f"{NAME}:/etc/hostname", f"{NAME}:/etc/passwd", "/no/such"), 1, "folder /no/such: No such file"),
    (("/etc/hostname", "/etc/passwd", f"{NAME}:/no/such"), 1, f"{NAME}: folder /no/such: No such file"),
    (("/etc/hostname", f"{NAME}:/dev/null"), 1, "is a device there"),
    (("/no/such", f"{NAME}:/srv"), 1, "read /no/such: No such file"),
    ((f"{NAME}:/no/such", "HERE"), 1, f"{NAME}: read /no/such: No such file"),
    (("/etc/hostname", f"{NAME}:/no/such/folder"), 1, f"{NAME}: folder /no/such: No such file"),
    ((f"{NAME}:/etc/hostname", "/no/such/folder"), 1, "folder /no/such: No such file"),
    (("/etc/hostname", "no-such-vm:/srv"), 3, "no-such-vm"),
])
def test_what_cannot_be_copied(guest, folder, args, status, text):
    here = f"{folder}/here"
    sh(f"mkdir -p {here}")
    guest.fails(status, text, "vm", "cp", *(here if word == "HERE" else word for word in args))
    assert sh(f"ls -A {here}") == "", "sources that are right were copied before a wrong one was met"


def test_ports(guest):
    ports = guest.json("vm", "ports", NAME)
    assert any(p["port"] == 22 and p["protocol"] == "tcp" and p["process"] in ("sshd", "systemd") and p["pid"] for p in ports)
    assert "sshd" in guest.ok("vm", "ports", NAME).out


def test_stats(guest):
    stats = guest.json("vm", "stats", NAME)
    assert stats["host"]["memory_bytes"] > 50 << 20 and stats["host"]["disk_bytes"] > 0
    assert 0 < stats["guest"]["memory_available_kib"] < stats["guest"]["memory_total_kib"]
    assert 0 < stats["guest"]["disk_used_bytes"] < stats["guest"]["disk_total_bytes"]
    emulated = guest.json("vm", "show", NAME)["accel"] == "tcg"
    assert (stats["host"]["code_cache_mib"] or 0) == (128 if emulated else 0)
    text = guest.ok("vm", "stats", NAME).out
    assert ("translated code" in text) == emulated
    assert "host cpu" in text and text.count("since its start") == 2 and "disk /root" in text


def resident_mib(guest):
    with open(f"/proc/{guest.json('vm', 'show', NAME)['pid']}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) // 1024


def test_memory_that_the_guest_frees_comes_back(guest):
    """700 MiB of its 1 GiB, used and freed: the VMM has them no longer. What it is warmed up with is QEMU's translated code."""
    def use(mib):
        inside(guest, f"perl -e 'my $n = {mib}; my $x = \"a\" x ($n << 20)'")

    assert "goes back" in guest.json("vm", "show", NAME)["balloon_reason"]
    assert "goes back" in guest.ok("vm", "show", NAME).out
    use(8)
    before = resident_mib(guest)
    reader = subprocess.Popen([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "exec", NAME, "--",
                               "perl", "-e", "my $n = 700; my $x = 'a' x ($n << 20); $| = 1; print 'used'; sleep 600"], stdout=subprocess.PIPE)
    try:
        assert reader.stdout.read(4) == b"used"
        assert resident_mib(guest) > before + 400
        inside(guest, "pkill -x perl")
        wait_for(lambda: resident_mib(guest) < before + 150, 120)
    finally:
        reader.kill()
        reader.wait()


def test_ssh_goes_through_the_agent_when_the_network_is_broken(guest):
    inside(guest, "ip link set eth0 down")
    result = guest.ok("vm", "ssh", NAME, "--", "echo from $(hostname)")
    assert result.out == f"from {NAME}\n" and "ssh goes through its agent" in result.err
    inside(guest, "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -x sshd; true")
    result = guest("vm", "ssh", NAME, "--", "echo still $(hostname); exit 5")
    assert (result.status, result.out) == (5, f"still {NAME}\n") and "a shell of its agent instead" in result.err
