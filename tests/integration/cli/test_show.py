# SPDX-License-Identifier: ISC
"""What the commands that only read print, on a pipe and on terminals of 80 and 200 columns."""
import json
import os
import queue
import subprocess

import pytest

from conftest import BANGER
from fake_daemon import daemon, image, kernel, running, vm

LONG = "a-name-as-long-as-any-name-is-allowed-to"
assert len(LONG) == 40


def fill(fake):
    fake.on("GET", "/v1/vms", {"vms": [
        running("alpha"), vm("beta"), running(LONG, ready=False, image=LONG),
        vm("gamma", error={"code": "vmm.died", "message": "QEMU died", "hint": None})]})


def test_list_on_a_pipe_is_never_cut(home, fake):
    fill(fake)
    r = home.run("vm", "list")
    assert r.status == 0 and r.err == ""
    lines = r.out.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "IMAGE", "CPU", "MEMORY", "DISK", "ADDRESS",
                                "UPTIME"]
    assert lines[1].split()[:7] == ["alpha", "running", "debian", "2", "1G", "8G", "10.209.1.2"]
    assert lines[2].split() == ["beta", "stopped", "debian", "2", "1G", "8G", "-", "-"]
    assert lines[3].split()[:3] == [LONG, "not", "ready"] and LONG in lines[3][41:]
    assert lines[4].split()[1] == "failed"
    assert "\033" not in r.out


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_list_fits_the_terminal(home, fake, columns):
    fill(fake)
    r = home.on_terminal("vm", "list", columns=columns, env={"NO_COLOR": "1"})
    assert r.status == 0
    assert "alpha" in r.out and "running" in r.out
    if columns > 20:
        assert max(map(len, r.out.splitlines())) <= columns
    if columns == 200:
        assert LONG in r.out
    if columns == 80:
        assert "ADDRESS" in r.out and "UPTIME" in r.out and "..." in r.out


def test_color_only_on_a_terminal_that_wants_it(home, fake):
    fill(fake)
    assert "\033[32mrunning" in home.on_terminal("vm", "list").out
    assert "\033" not in home.on_terminal("vm", "list", env={"NO_COLOR": "1"}).out
    assert "\033" not in home.on_terminal("vm", "list", env={"TERM": "dumb"}).out


def test_alias(home, fake):
    fill(fake)
    for words in (["vm", "ls"], ["ls"], ["ps"], ["ps", "-a"], ["list"]):
        assert home.run(*words).out == home.run("vm", "list").out


@pytest.mark.parametrize("flags,names", [
    (["-q"], ["alpha", "beta", LONG, "gamma"]),
    (["-aq", "--filter", "state=stopped"], ["beta", "gamma"]),
    (["-q", "-f", "name=*a", "--filter", "state=running"], ["alpha"]),
    (["--format", "{{.Name}}"], ["alpha", "beta", LONG, "gamma"]),
    (["--filter", "name=beta", "--format", "{{.name}} {{.memory_mib}}\\t{{.ssh.port}} {x} {{.labels.no}}."],
     ["beta 1024\t22 {x} ."])])
def test_lines_for_scripts(home, fake, flags, names):
    fill(fake)
    r = home.run("vm", "list", *flags)
    assert r.status == 0 and r.out.splitlines() == names, r


@pytest.mark.parametrize("flags,words", [
    (["--filter", "color=red"], "cannot filter by \"color=red\""), (["--filter", "state"], "cannot filter by"),
    (["--format", "{{.colour}}"], "a VM has no field \"colour\"")])
def test_lines_that_cannot_be(home, fake, flags, words):
    fill(fake)
    r = home.run("vm", "list", *flags)
    assert r.status == 2 and words in r.err and r.out == "", r


def test_published_ports_have_a_column_when_there_are_any(home, fake):
    fake.on("GET", "/v1/vms", {"vms": [running("web", publish=[{"host": 8080, "guest": 80, "open": True}])]})
    out = home.run("vm", "list").out
    assert "PORTS" in out and "127.0.0.1:8080 to 80" in out
    assert home.run("vm", "list", "--filter", "state=stopped").err == "No VMs match.\n"


@pytest.mark.parametrize("noun,path,key", [("vm", "/v1/vms", "vms"),
                                           ("image", "/v1/images", "images"),
                                           ("kernel", "/v1/kernels", "kernels")])
def test_empty_lists_say_what_to_type(home, fake, noun, path, key):
    fake.on("GET", path, {key: []})
    r = home.run(noun, "list")
    assert r.status == 0 and r.out == ""
    assert f"`banger {noun} " in r.err
    r = home.run(noun, "list", "--json")
    assert json.loads(r.out) == [] and r.err == ""


def test_json_is_the_record(home, fake):
    records = [running("alpha"), vm("beta", extra={"from": ["a", "newer", "daemon"]})]
    fake.on("GET", "/v1/vms", {"vms": records})
    fake.on("GET", "/v1/vms/alpha", records[0])
    fake.on("GET", "/v1/daemon", daemon())
    fake.on("GET", "/v1/images/debian", image("debian"))
    fake.on("GET", "/v1/kernels/cloud", kernel("cloud"))
    assert json.loads(home.run("vm", "list", "--json").out) == records
    assert json.loads(home.run("vm", "show", "alpha", "--json").out) == records[0]
    assert json.loads(home.run("daemon", "status", "--json").out) == daemon()
    assert json.loads(home.run("image", "show", "--json", "debian").out) == image("debian")
    assert json.loads(home.run("kernel", "show", "cloud", "--json").out) == kernel("cloud")


def fields(text):
    return {line[:12].strip(): line[12:] for line in text.splitlines()}


def test_vm_show(home, fake):
    fake.on("GET", "/v1/vms/alpha", running("alpha"))
    f = fields(home.run("vm", "show", "alpha").out)
    assert f["name"] == "alpha"
    assert f["state"].startswith("running for ")
    assert f["address"] == "10.209.1.2"
    assert f["cpu"] == "2" and f["memory"] == "1G"
    assert f["disk"] == "8G of /, 4G of /root, made by reflink"
    assert f["vmm"] == "qemu, tcg, pid 4711 (no KVM here)"
    assert f["serial log"] == "/s/vms/alpha/serial.log"
    assert f["created"].endswith(" ago (2026-01-02T03:04:05Z)")


def test_vm_show_says_why_it_died(home, fake):
    error = {"code": "vmm.died", "message": "QEMU died: out of memory", "hint": "see its log"}
    fake.on("GET", "/v1/vms/beta", vm("beta", error=error))
    r = home.run("vm", "show", "beta")
    f = fields(r.out)
    assert f["state"] == "failed" and f["error"] == "QEMU died: out of memory"
    assert "see its log" in r.out and "vmm  " not in r.out and "address" not in r.out


def test_image_and_kernel_tables(home, fake):
    fake.on("GET", "/v1/images", {"images": [image("debian", shared_bytes=45 << 20), image("bare", os=None, kernel=None)]})
    fake.on("GET", "/v1/kernels", {"kernels": [kernel("cloud", used_by=[])]})
    lines = home.run("image", "list").out.splitlines()
    assert "Debian GNU/Linux 12 (bookworm)" in lines[1] and "700M" in lines[1] and "45M" in lines[1]
    assert lines[2].split()[:3] == ["bare", "-", "-"]
    assert home.run("kernel", "list").out.splitlines()[1].split() == [
        "cloud", "6.1.0-18-cloud-amd64", "bzimage", "7M", "342", "0"]
    for columns in (80, 200):
        for noun in ("image", "kernel"):
            r = home.on_terminal(noun, "list", columns=columns, env={"NO_COLOR": "1"})
            assert max(map(len, r.out.splitlines())) <= columns


def test_image_and_kernel_show(home, fake):
    fake.on("GET", "/v1/images/debian", image("debian", used_by=["web", "db"]))
    fake.on("GET", "/v1/kernels/cloud", kernel("cloud"))
    f = fields(home.run("image", "show", "debian").out)
    assert f["used by"] == "web, db" and f["size"] == "2G, 700M on disk"
    assert f["build log"] == "/s/images/debian/build.log"
    f = fields(home.run("kernel", "show", "cloud").out)
    assert f["release"] == "6.1.0-18-cloud-amd64" and f["used by"] == "debian"
    assert f["size"] == "7M, with its modules 112M on disk, 60M of it shared"


def test_daemon_status(home, fake):
    fake.on("GET", "/v1/daemon", daemon())
    f = fields(home.run("daemon", "status").out)
    assert f["daemon"].startswith("running for ") and f["pid"] == "4712, monitor 4711"
    assert f["memory"] == "5M" and f["vms"] == "3, 1 running"
    assert f["vmm"] == "qemu 7.2.9, tcg (KVM does not run guests here)"
    fake.on("GET", "/v1/daemon", daemon(storage={"driver": "copy", "reason": "copy: no reflink"}))
    assert fields(home.run("daemon", "status").out)["storage"] == "copy (no reflink)"
    helper = {"ok": False, "path": None, "error": {"code": "helper.missing", "message": "no helper",
                                                   "hint": "install it"}}
    fake.on("GET", "/v1/daemon", daemon(helper=helper, version="9.9.9"))
    r = home.run("daemon", "status")
    assert fields(r.out)["helper"] == "no helper" and "install it" in r.out
    assert "9.9.9; this is banger 0.1.0" in r.out
    fake.on("GET", "/v1/daemon", daemon(vmm=None))
    assert fields(home.run("daemon", "status").out)["vmm"] == "not known yet"
    fake.on("GET", "/v1/daemon", daemon(vmm={"name": None, "error": {
        "code": "vmm.missing", "message": "there is no QEMU", "hint": "install QEMU"}}))
    r = home.run("daemon", "status")
    assert fields(r.out)["vmm"] == "there is no QEMU" and "install QEMU" in r.out


def test_records_cannot_drive_the_terminal(home, fake):
    fake.on("GET", "/v1/images", {"images": [image("debian", os="x\033]0;owned\007\u009b31m\ny")]})
    r = home.on_terminal("image", "list", columns=200, env={"NO_COLOR": "1"})
    assert "\033" not in r.out and "\007" not in r.out and "\u009b" not in r.out
    assert len(r.out.splitlines()) == 2


def test_logs_are_bytes_on_a_pipe_and_harmless_on_a_terminal(home, fake):
    text = b"boot\r\n\033[32mok\033[0m \033]0;owned\007 \033[2Jx\033[6n\r\n"

    def logs(conn):
        conn.stream()
        for i in range(0, len(text), 3):
            conn.chunk(text[i:i + 3])
        conn.end()

    fake.on("GET", "/v1/vms/alpha/logs", logs)
    r = home.run("vm", "logs", "alpha")
    assert r.status == 0 and r.out.encode() == text.replace(b"\r\n", b"\n")
    assert fake.requests[-1][2] == "log=serial"
    r = home.on_terminal("vm", "logs", "--vmm", "-f", "-n", "20", "alpha")
    assert fake.requests[-1][2] == "log=vmm&follow=1&tail=20"
    assert "boot" in r.out and "owned" not in r.out and "[2J" not in r.out and "[6n" not in r.out
    assert "\033[32mok" in r.out


def test_a_log_that_is_followed_comes_as_it_is_written(home, fake):
    def logs(conn):
        conn.stream()
        conn.chunk(b"first\n")
        assert conn.sock.recv(1) == b""  # until the reader leaves

    fake.on("GET", "/v1/vms/alpha/logs", logs)
    t = home.terminal("vm", "logs", "--follow", "alpha")
    t.wait_for("first")
    t.interrupt()
    assert t.finish().status == -2


def test_it_starts_quickly_because_it_links_little():
    """A library more is milliseconds more for each command; what a sanitizer adds is let pass."""
    lines = subprocess.run(["readelf", "-d", BANGER], capture_output=True, text=True, check=True)
    needed = {line.split("[")[1].split(".so")[0] for line in lines.stdout.splitlines()
              if "(NEEDED)" in line}
    assert "libjansson" in needed
    assert needed <= {"libjansson", "libc", "libasan", "libubsan", "libm", "libgcc_s", "libpthread",
                      "librt", "libdl", "libresolv"}


def test_what_running_vms_use(home, fake):
    """Of the host's own figures: this test's process stands for a VMM."""
    fake.on("GET", "/v1/vms", {"vms": [running("alpha", pid=os.getpid()), vm("beta")]})
    for words in (["vm", "stats"], ["stats"], ["top", "--once"], ["top", "-b"]):
        lines = home.run(*words).out.splitlines()
        assert lines[0].split() == ["NAME", "CPU", "MEMORY", "DISK", "WRITTEN", "CPU", "TIME"], lines
        assert len(lines) == 2 and lines[1].split()[0] == "alpha", lines
    host = json.loads(home.run("top", "--once", "--json").out)[0]["host"]
    assert host["pss_bytes"] is None or 1 << 20 < host["pss_bytes"] <= host["memory_bytes"]  # None: of a process of another user
    assert host["memory_bytes"] > 1 << 20 and host["cpu_seconds"] > 0 and host["written_bytes"] >= 0
    fake.on("GET", "/v1/vms", {"vms": [vm("beta")]})
    assert home.run("top", "--once").err == "No VM is running.\n"


def test_list_watches(home, fake):
    """A list at once, and another at each change of a VM; nothing is asked in between."""
    lines = queue.Queue()

    def events(conn):
        conn.stream()
        while (line := lines.get()) is not None:
            conn.line(line)

    fake.on("GET", "/v1/events", events)
    fake.on("GET", "/v1/vms", {"vms": [vm("web")]})
    process = home.start("vm", "list", "--watch", "-q", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "web\n"
    lines.put({"type": "image", "action": "changed", "name": "x", "record": {}})
    fake.on("GET", "/v1/vms", {"vms": [vm("web"), vm("db")]})
    lines.put({"type": "vm", "action": "changed", "name": "db", "record": {}})
    assert [process.stdout.readline() for _ in range(2)] == ["web\n", "db\n"]
    assert len(fake.asked("GET", "/v1/vms")) == 2
    lines.put(None)
    assert process.wait(60) == 7 and "the daemon went away" in process.stderr.read()
