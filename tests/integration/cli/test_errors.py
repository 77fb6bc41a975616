# SPDX-License-Identifier: ISC
"""One clear error and a stable exit status for whatever goes wrong."""
import os
import subprocess

import pytest

from conftest import BANGER
from fake_daemon import Hangup

USAGE = [
    (["vm", "lst"], '"vm lst" is not a command', "did you mean `banger vm list`?"),
    (["lits"], '"lits" is not a command', "did you mean"),
    (["frobnicate"], '"frobnicate" is not a command', "`banger help` lists them"),
    (["vm", "create", "--memroy", "2G"], "banger vm create has no flag --memroy",
     "did you mean --memory?"),
    (["vm", "create", "--memory"], "--memory needs a value: --memory SIZE", "--help"),
    (["vm", "create", "--nat=yes"], "--nat takes no value", "--help"),
    (["vm", "create", "a", "b"], 'unexpected argument "b"', "--help"),
    (["vm", "create", "a", "--name", "b"], "two names for one VM", ""),
    (["vm", "create", "--memory", "lots"], '--memory: "lots" is not a size', "512M, 2G or 1.5G"),
    (["vm", "create", "--memory", "1M"], "--memory: 1M is not between 128M and 1T", ""),
    (["vm", "create", "--cpus", "99"], "--cpus: 99 is not between 1 and 32", ""),
    (["vm", "create", "--nat", "--no-nat"], "--nat or --no-nat, not both", ""),
    (["vm", "create", "Bad_Name"], '"Bad_Name" cannot be the name of a VM', "names are 1 to 40"),
    (["vm", "start"], "an argument is missing: banger vm start NAME...", "--help"),
    (["vm", "list", "web"], 'unexpected argument "web"', "--help"),
    (["image", "build"], "name the image: --name NAME", ""),
    (["kernel", "import", "/nonexistent"], "/nonexistent: No such file", "vmlinux or a bzImage"),
]


@pytest.mark.parametrize("args,message,hint", USAGE, ids=[" ".join(u[0]) for u in USAGE])
def test_usage(home, fake, args, message, hint):
    r = home.run(*args)
    assert r.status == 2 and r.out == ""
    lines = r.err.splitlines()
    assert lines[0].startswith("banger: ") and message in lines[0]
    assert len(lines) == (2 if hint or len(lines) > 1 else 1)
    assert hint in "\n".join(lines[1:])
    assert fake.requests == []


@pytest.mark.parametrize("code,http,status", [
    ("vm.not_found", 404, 3), ("vm.name_taken", 409, 4), ("helper.missing", 503, 5),
    ("vm.not_ready", 504, 6), ("daemon.stopping", 503, 7), ("io", 500, 1),
    ("name.invalid", 400, 2), ("a.code.of.a.newer.daemon", 500, 1)])
def test_exit_status_is_that_of_the_code(home, fake, code, http, status):
    fake.on("GET", "/v1/vms/web", lambda c: c.error(http, code, "no luck", "do this"))
    r = home.run("vm", "show", "web")
    assert r.status == status and r.err == "banger: no luck\n  do this\n" and r.out == ""


def close_at_once(conn):
    raise Hangup


BROKEN = [
    b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\nX: y\n\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{},,",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", BROKEN, ids=[str(i) for i in range(len(BROKEN))])
def test_a_broken_answer_is_an_error(home, fake, data):
    fake.on("GET", "/v1/vms", lambda c: c.raw(data))
    fake.on("POST", "/v1/vms/a/start", lambda c: c.raw(data))
    for args in (["vm", "list"], ["vm", "start", "a"]):
        r = home.run(*args)
        assert r.status == 7 and r.err.startswith("banger: the daemon"), r
        assert r.out == ""


def test_an_unknown_route_hints_at_versions(home, fake):
    r = home.run("image", "list")
    assert r.status == 2 and "the fake has no GET /v1/images" in r.err


def test_a_full_disk_behind_stdout_is_not_success(home, fake):
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = home.start("version", stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and b"write the output: No space left" in err


def test_root_is_refused(home):
    if os.geteuid() != 0:
        pytest.skip("needs root to be refused as root")
    r = subprocess.run([BANGER, "vm", "list"], capture_output=True, text=True, timeout=60,
                       env=home.env)
    assert r.returncode == 2
    assert r.stderr.startswith("banger: banger does not run as root\n  run banger as an ordinary")
    for args in (["help"], ["version"], ["vm", "list", "--help"]):
        assert subprocess.run([BANGER, *args], capture_output=True, timeout=60).returncode == 0


def test_a_socket_path_that_is_too_long(home):
    r = home.run("vm", "list", env={"XDG_STATE_HOME": "/" + "s" * 100, "XDG_RUNTIME_DIR": "/" + "d" * 100})
    assert r.status == 2 and "107 is the most" in r.err and "XDG_STATE_HOME" in r.err


def all_commands(home):
    text = home.run("help").out.split("Exit status")[0]
    entries = [line[2:] for line in text.splitlines() if line.startswith("  ") and line[2] != " "]
    nouns = ("vm", "image", "kernel", "op", "daemon")
    return [e.split()[:words(e, nouns)] for e in entries]


def words(entry, nouns):
    if entry.startswith("vm workspace "):
        return 3
    return 2 if entry.split()[0] in nouns else 1


def test_groups_list_their_commands(home):
    r = home.run("vm", "workspace", "--help")
    assert r.status == 0 and "vm workspace prepare" in r.out and "vm create" not in r.out
    assert home.run("vm", "workspace").status == 2


def test_every_command_has_help_with_an_example(home):
    commands = all_commands(home)
    assert len(commands) >= 25
    for command in commands:
        r = home.run(*command, "--help")
        assert r.status == 0 and r.err == "", command
        assert r.out.startswith(f"banger {' '.join(command)}: ")
        assert "Usage: banger" in r.out and "Example\n  " in r.out
        assert home.run("help", *command).out == r.out
        assert max(map(len, r.out.splitlines())) <= 96


def test_top_level_help(home):
    r = home.run()
    assert r.status == 0 and r.out == home.run("--help").out == home.run("help").out
    for status in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "130 "):
        assert f"\n  {status}" in r.out
    assert max(map(len, r.out.splitlines())) <= 80
    assert home.run("vm").status == 2 and "vm create" in home.run("vm").err
    assert home.run("vm", "--help").status == 0
    assert home.run("--version").out == home.run("version").out
