# SPDX-License-Identifier: ISC
"""Commands that work on any number of VMs: patterns, --all, the limit, prune."""
import json
import threading

import pytest

from fake_daemon import running, vm


def done(result):
    return {"state": "done", "result": result, "elapsed_ms": 3250}


@pytest.fixture
def zoo(fake):
    """web-1 and web-2 run, web-3 and db do not. Every operation on them works at once."""
    vms = [vm("db"), running("web-1"), running("web-2"), vm("web-3")]
    fake.on("GET", "/v1/vms", {"vms": vms})
    for record in vms:
        name = record["name"]
        for verb in ("start", "stop", "restart", "kill", "set"):
            fake.operation("POST", f"/v1/vms/{name}/{verb}", f"vm.{verb}", name, [done(record)])
        fake.operation("DELETE", f"/v1/vms/{name}", "vm.delete", name, [done(None)])
    return fake


def names(out):
    return [line.split()[0] for line in out.splitlines()]


def asked(fake, verb):
    """Names of the VMs that a verb came for."""
    parts = [r[1].split("/") for r in fake.requests]
    return sorted(p[3] for p in parts if len(p) > 4 and p[4] == verb)


@pytest.mark.parametrize("verb,which", [
    ("start", ["db", "web-3"]), ("stop", ["web-1", "web-2"]), ("kill", ["web-1", "web-2"]),
    ("restart", ["web-1", "web-2"])])
def test_all_is_every_vm_that_needs_it(home, zoo, verb, which):
    r = home.run("vm", verb, "--all")
    assert r.status == 0, r
    assert sorted(names(r.out)) == which == asked(zoo, verb)


def test_patterns_and_names_together(home, zoo):
    r = home.run("vm", "stop", "web-*", "web-1", "db")
    assert r.status == 0, r
    assert asked(zoo, "stop") == ["db", "web-1", "web-2"]
    r = home.run("vm", "delete", "web-[13]")
    assert sorted(names(r.out)) == ["web-1", "web-3"]
    r = home.run("vm", "set", "--nat", "w*")
    assert asked(zoo, "set") == ["web-1", "web-2", "web-3"]


def test_a_pattern_that_needs_nothing(home, zoo):
    r = home.run("vm", "start", "web-[12]")
    assert r.status == 0 and r.out == "" and r.err == "there is no VM to start\n"
    r = home.run("vm", "start", "web-[12]", "--json")
    assert r.status == 0 and json.loads(r.out) == [] and r.err == ""


def test_a_pattern_makes_a_list_of_one(home, zoo):
    assert json.loads(home.run("vm", "start", "--json", "d*").out) == [vm("db")]
    assert json.loads(home.run("vm", "start", "--json", "db").out) == vm("db")


@pytest.mark.parametrize("words,status,message", [
    (["x-*"], 3, "no VM's name matches \"x-*\""),
    ([], 2, "an argument is missing: banger vm stop NAME...|--all"),
    (["--all", "db"], 2, "--all means every VM"),
    (["Web_1"], 2, "Web_1"),
    (["--parallel", "0", "db"], 2, "--parallel: 0 is not between 1 and 100")])
def test_what_cannot_be(home, zoo, words, status, message):
    r = home.run("vm", "stop", *words)
    assert r.status == status and message in r.err
    assert asked(zoo, "stop") == []


def test_those_that_failed_are_named_again_at_the_end(home, zoo):
    for name in ("db", "web-2"):
        zoo.on("POST", f"/v1/vms/{name}/stop",
               lambda c: c.error(409, "vm.busy", "it is busy"))
    r = home.run("vm", "stop", "db", "web-1", "web-2")
    assert r.status == 4
    assert names(r.out) == ["web-1"]
    assert r.err.endswith("banger: 2 of 3 failed: db, web-2\n")


def test_no_more_at_once_than_asked_for(home, fake):
    lock, now, most = threading.Lock(), [0], [0]
    full = threading.Event()

    def slow(name):
        def records(conn, record):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
                if now[0] == 3:
                    full.set()
            assert full.wait(20)
            with lock:
                now[0] -= 1
            conn.line(record(**done(vm(name))))
        return records

    wanted = [f"v{i}" for i in range(9)]
    for name in wanted:
        fake.operation("POST", f"/v1/vms/{name}/stop", "vm.stop", name, slow(name))
    r = home.run("vm", "stop", "--parallel", "3", *wanted)
    assert r.status == 0 and sorted(names(r.out)) == wanted
    assert most[0] == 3


def test_ctrl_c_begins_no_other(home, fake):
    ended = threading.Event()

    def records(conn, record):
        conn.line(record())
        assert ended.wait(20)
        conn.line(record(state="cancelled", error={"code": "cancelled", "message": "cancelled",
                                                   "hint": None, "exit": 130}))

    def cancel(conn):
        ended.set()
        conn.json({}, 202)

    ident = fake.operation("POST", "/v1/vms/a/stop", "vm.stop", "a", records)
    fake.on("DELETE", f"/v1/operations/{ident}", cancel)
    t = home.terminal("vm", "stop", "--parallel", "1", "a", "b", "c")
    fake.wait_asked("GET", f"/v1/operations/{ident}/events")
    t.interrupt()
    r = t.finish()
    assert r.status == 130
    assert "2 of 3 not begun: b, c" in r.out
    assert not fake.asked("POST", "/v1/vms/b/stop")


def test_prune_asks_first(home, zoo):
    t = home.terminal("vm", "prune")
    t.wait_for("[y/N]")
    assert "db" in t.text and "web-3" in t.text and "web-1" not in t.text
    t.type("n\n")
    r = t.finish()
    assert r.status == 130 and "nothing was deleted" in r.out
    t = home.terminal("vm", "prune", env={"NO_COLOR": "1"})
    t.wait_for("[y/N]")
    t.type("y\n")
    r = t.finish()
    assert r.status == 0 and "db deleted" in r.out and "web-3 deleted" in r.out


def test_prune_needs_a_terminal_or_f(home, zoo):
    r = home.run("vm", "prune", stdin="y\n")
    assert r.status == 2 and "2 VMs would be deleted" in r.err and "prune -f" in r.err
    assert not any(q[0] == "DELETE" for q in zoo.requests)
    r = home.run("vm", "prune", "-f")
    assert r.status == 0 and sorted(names(r.out)) == ["db", "web-3"]


def test_prune_leaves_what_is_busy(home, fake):
    fake.on("GET", "/v1/vms", {"vms": [running("a"), vm("b", state="starting", operation="4"),
                                       vm("c", state="deleting", operation="5")]})
    r = home.run("vm", "prune", "-f")
    assert r.status == 0 and "no VM to delete" in r.err


# ---- set and labels ----

def test_set_sends_what_was_asked(home, zoo):
    r = home.run("vm", "set", "db", "--cpus", "4", "--memory", "2G", "--disk-size=20G",
                 "--work-size", "1G", "--no-nat", "--with-init", "--no-balloon", "--label", "env=a=b", "--label", "old-")
    assert r.status == 0 and r.out == "db changed in 3.2 s\n"
    assert zoo.asked("POST", "/v1/vms/db/set") == [{
        "cpus": 4, "memory_mib": 2048, "disk_mib": 20480, "work_mib": 1024, "nat": False, "with_init": True,
        "balloon": False,
        "labels": {"env": "a=b", "old": None}}]


@pytest.mark.parametrize("words,message", [
    ([], "what should change?"), (["--label", "x"], "\"x\" is not KEY=VALUE or KEY-"),
    (["--memory", "1M"], "--memory"), (["--nat", "--no-nat"], "not both"),
    (["--label", "-"], "is not KEY=VALUE")])
def test_set_what_cannot_be(home, zoo, words, message):
    r = home.run("vm", "set", "db", *words)
    assert r.status == 2 and message in r.err
    assert asked(zoo, "set") == []


def test_create_with_labels(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "a", [done(vm("a"))])
    assert home.run("vm", "create", "a", "--label", "x=1", "--label", "y=").status == 0
    assert fake.asked("POST", "/v1/vms") == [{"name": "a", "labels": {"x": "1", "y": ""}}]
    assert home.run("vm", "create", "a", "--label", "x-").status == 2


@pytest.fixture
def labelled(fake):
    fake.on("GET", "/v1/vms", {"vms": [
        vm("a", labels={"env": "test", "team": "x"}), vm("b", labels={"env": "prod"}), vm("c")]})
    return fake


@pytest.mark.parametrize("labels,which", [
    (["env=test"], "a"), (["env"], "ab"), (["env", "team=x"], "a"), (["env="], ""), ([], "abc")])
def test_list_by_label(home, labelled, labels, which):
    words = [word for label in labels for word in ("-l", label)]
    r = home.run("vm", "list", "--json", *words)
    assert r.status == 0 and [v["name"] for v in json.loads(r.out)] == list(which)


def test_labels_are_shown_where_there_are_any(home, labelled):
    r = home.run("vm", "list")
    assert "LABELS" in r.out and "env=test, team=x" in r.out
    assert "LABELS" not in home.on_terminal("vm", "list", columns=40).out
    r = home.run("vm", "list", "-l", "none")
    assert r.out == "" and "No VMs match" in r.err
    labelled.on("GET", "/v1/vms", {"vms": [vm("c")]})
    assert "LABELS" not in home.run("vm", "list").out


def test_logs_since_the_last_boot(home, fake):
    def logs(conn):
        conn.stream()
        conn.chunk(conn.query.encode() + b"\n")
        conn.end()

    fake.on("GET", "/v1/vms/web/logs", logs)
    assert home.run("vm", "logs", "--boot", "web").out == "log=serial&boot=1\n"
    assert home.run("vm", "logs", "-b", "-f", "-n", "3", "--vmm", "web").out == (
        "log=vmm&follow=1&boot=1&tail=3\n")


# ---- published ports ----

def test_ports_are_sent_and_shown(home, zoo):
    zoo.operation("POST", "/v1/vms", "vm.create", "a", [done(vm("a"))])
    assert home.run("vm", "create", "a", "-p", "8080:80", "--publish=8443:443").status == 0
    assert zoo.asked("POST", "/v1/vms")[0]["publish"] == [
        {"host": 8080, "guest": 80}, {"host": 8443, "guest": 443}]
    assert home.run("vm", "set", "db", "-p", "1:2", "--unpublish", "8080").status == 0
    assert zoo.asked("POST", "/v1/vms/db/set") == [
        {"publish": [{"host": 1, "guest": 2}], "unpublish": [8080]}]
    assert home.run("vm", "set", "db", "--expose-host", "5432", "--expose-host=80", "--unexpose-host", "81").status == 0
    assert zoo.asked("POST", "/v1/vms/db/set")[-1] == {"expose": [5432, 80], "unexpose": [81]}
    zoo.on("GET", "/v1/vms/a", vm("a", expose=[{"port": 5432, "open": True}, {"port": 80, "open": False}]))
    assert "exposed     host.vm:5432, host.vm:80\n" in home.run("vm", "show", "a").out
    zoo.on("GET", "/v1/vms/a", vm("a", publish=[{"host": 8080, "guest": 80, "open": True}]))
    assert "published   127.0.0.1:8080 to 80\n" in home.run("vm", "show", "a").out


@pytest.mark.parametrize("word", ["80", "80:", ":80", "0:80", "80:65536", "a:b", "1:2:3", "-1:2",
                                  "80:80x", "123456:1"])
def test_what_is_no_pair_of_ports(home, zoo, word):
    r = home.run("vm", "create", "a", f"--publish={word}")
    assert r.status == 2 and f'"{word}" is not HOST:GUEST' in r.err and "8080:80" in r.err
    r = home.run("vm", "create", "a", f"--expose-host={word}")
    assert r.status == 2 and "is not a port of this machine" in r.err or word == "80"
    r = home.run("vm", "set", "db", f"--unpublish={word}")
    assert r.status == (0 if word == "80" else 2)
