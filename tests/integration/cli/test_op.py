# SPDX-License-Identifier: ISC
"""Operations from any terminal: op list, show and cancel; who waits for a start; what Ctrl-C says."""
import json
import threading

from fake_daemon import running, stage, vm


def record(ident, kind, target, state="running", **over):
    base = {"id": ident, "kind": kind, "target": target, "state": state,
            "stages": [stage("boot", "waiting for the guest", 3200, "running" if state == "running" else "done")],
            "progress": None, "error": None, "result": None, "log": None,
            "created_at": "2026-01-02T03:04:05Z", "elapsed_ms": 3250}
    base.update(over)
    return base


OPS = [record("18", "image.pull", "debian"),
       record("17", "vm.create", "web"),
       record("16", "vm.start", "db", "failed", error={"code": "vm.not_ready", "message": "db did not come up", "hint": None, "exit": 6})]


def test_list(home, fake):
    fake.on("GET", "/v1/operations", {"operations": OPS})
    r = home.run("op", "list")
    assert r.status == 0 and "image.pull" in r.out and "waiting for the guest" in r.out and "db" not in r.out
    assert "db did not come up" in home.run("op", "ls", "--all").out
    assert [o["id"] for o in json.loads(home.run("op", "list", "--json").out)] == ["18", "17"]
    fake.on("GET", "/v1/operations", {"operations": []})
    r = home.run("op", "list")
    assert r.status == 0 and r.out == "" and r.err == "No operation is running.\n"


def test_show(home, fake):
    fake.on("GET", "/v1/operations/16", OPS[2])
    r = home.run("op", "show", "16")
    assert r.status == 0 and "db did not come up" in r.out and "vm.start" in r.out
    assert json.loads(home.run("op", "show", "16", "--json").out) == OPS[2]
    r = home.run("op", "show", "web")
    assert r.status == 2 and "\"web\" is not the id of an operation" in r.err


def follow(fake, ident, kind, target, *records):
    """A cancel's answer, and what its follower sees."""
    fake.on("DELETE", f"/v1/operations/{ident}", lambda c: c.json({"operation": record(ident, kind, target)}, 202))

    def stream(conn):
        conn.stream()
        for over in records:
            conn.line(record(ident, kind, target, **over))
        conn.end()

    fake.on("GET", f"/v1/operations/{ident}/events", stream)


def test_cancel(home, fake):
    follow(fake, "17", "vm.create", "web", {}, {"state": "cancelled"})
    r = home.run("op", "cancel", "17")
    assert r.status == 0 and r.out == "vm.create of web was cancelled\n"
    follow(fake, "17", "vm.create", "web", {"state": "done"})
    r = home.run("op", "cancel", "17")
    assert r.status == 0 and r.out == "vm.create of web had ended before\n"
    assert len(fake.asked("DELETE", "/v1/operations/17")) == 2


def test_completion(home, fake):
    fake.on("GET", "/v1/operations", {"operations": OPS})
    r = home.run("__complete", "--", "op", "cancel", "")
    assert r.out == "18\timage.pull debian\n17\tvm.create web\n"
    assert home.run("__complete", "--", "op", "").out.split()[0] == "list"


def test_delete_with_force(home, fake):
    fake.operation("DELETE", "/v1/vms/web", "vm.delete", "web", [{"state": "done"}])
    assert home.run("vm", "delete", "web").status == 0
    assert home.run("vm", "delete", "--force", "web").status == 0
    assert [q for m, p, q, _ in fake.requests if (m, p) == ("DELETE", "/v1/vms/web")] == ["", "force=1"]


def starts(fake, states, **ended):
    """GET tells one state after the other; a start joins, and ends so."""
    left = list(states)
    fake.on("GET", "/v1/vms/web", lambda c: c.json(left.pop(0) if len(left) > 1 else left[0]))
    fake.operation("POST", "/v1/vms/web/start", "vm.start", "web", [ended])


def test_ssh_waits_for_a_start(home, fake):
    home.program("bin/ssh", "#!/bin/sh\nexit 42\n")
    starts(fake, [vm("web", state="starting"), vm("web", state="starting"), running("web")], state="done", result=running("web"))
    r = home.run("vm", "ssh", "web", "--", "true")
    assert r.status == 42, r
    assert len(fake.asked("POST", "/v1/vms/web/start")) == 1


def test_ssh_tells_why_the_start_failed(home, fake):
    starts(fake, [vm("web", state="starting")], state="failed",
           error={"code": "vm.not_ready", "message": "web did not come up", "hint": "look", "exit": 6})
    r = home.run("vm", "ssh", "web", "--", "true")
    assert r.status == 6 and r.err.count("web did not come up") == 1


def test_ssh_does_not_start_what_is_stopped(home, fake):
    fake.on("GET", "/v1/vms/web", vm("web"))
    r = home.run("vm", "ssh", "web", "--", "true")
    assert r.status == 4 and not fake.asked("POST", "/v1/vms/web/start")


def test_exec_waits_for_a_start(home, fake):
    """The first try is refused, the second one gets through to a refusal of its own."""
    tries = []

    def answer(conn):
        tries.append(1)
        if len(tries) == 1:
            conn.error(504, "vm.not_ready", "the agent in VM \"web\" does not answer yet")
        else:
            conn.error(400, "request.invalid", "second try")

    fake.on("POST", "/v1/vms/web/exec", answer)
    starts(fake, [vm("web", state="starting")], state="done", result=running("web"))
    r = home.run("vm", "exec", "web", "--", "true")
    assert "second try" in r.err and len(tries) == 2
    fake.on("GET", "/v1/vms/web", running("web"))
    tries.clear()
    r = home.run("vm", "exec", "web", "--", "true")
    assert "does not answer yet" in r.err and len(tries) == 1


def interrupted(home, fake, ended):
    gate = threading.Event()

    def records(conn, make):
        conn.line(make(stages=[stage("shutdown", "asking the guest", 0, "running")]))
        assert gate.wait(30)
        conn.line(make(**ended))

    ident = fake.operation("POST", "/v1/vms/web/stop", "vm.stop", "web", records)
    fake.on("DELETE", f"/v1/operations/{ident}", lambda c: (c.json({"operation": {}}, 202), gate.set()))
    t = home.terminal("vm", "stop", "web")
    t.wait_for("asking the guest")
    fake.wait_asked("GET", f"/v1/operations/{ident}/events")
    t.interrupt()
    return t.finish()


def test_ctrl_c_says_what_the_daemon_says(home, fake):
    r = interrupted(home, fake, {"state": "cancelled", "error": {
        "code": "cancelled", "message": "vm.stop of \"web\" was cancelled; the guest may still go down", "hint": None, "exit": 130}})
    assert r.status == 130 and "the guest may still go down" in r.out and "undone" not in r.out


def test_ctrl_c_that_comes_too_late(home, fake):
    r = interrupted(home, fake, {"state": "done", "result": vm("web")})
    assert r.status == 0 and "stopped" in r.out and "cancelling" in r.out


def test_what_does_not_answer_is_shown(home, fake):
    fake.on("GET", "/v1/vms", {"vms": [running("a", health="ok"), running("b", health="vmm_silent"), running("c", health="agent_silent")]})
    rows = {line.split()[0]: line for line in home.run("vm", "list").out.splitlines()}
    assert " running " in rows["a"] and " VMM silent " in rows["b"] and " agent silent " in rows["c"]


def test_disks_that_are_gone_are_shown(home, fake):
    gone = vm("web", state="stopped", missing="/s/vms/01/root.img")
    fake.on("GET", "/v1/vms", {"vms": [gone, vm("db", state="stopped", missing=None)]})
    fake.on("GET", "/v1/vms/web", gone)
    rows = {line.split()[0]: line for line in home.run("vm", "list", "--all").out.splitlines()}
    assert " no disks " in rows["web"] and " stopped " in rows["db"]
    shown = home.run("vm", "show", "web").out
    assert "its disks are missing: there is no /s/vms/01/root.img" in shown and "`banger vm delete web`" in shown
