# SPDX-License-Identifier: ISC
"""vm create without an image, on a terminal and elsewhere; another name; the wait for an agent."""
import threading

import pytest

from fake_daemon import image, running, stage, vm


@pytest.fixture
def bare(fake):
    """No image; the first create is refused, one after a build is not."""
    made = []
    fake.on("GET", "/v1/images", {"images": []})
    fake.operation("POST", "/v1/images/build", "image.build", "default", [{"state": "done", "result": image("default")}])
    fake.operation("POST", "/v1/vms", "vm.create", "web", [{"state": "done", "result": running("web")}])
    accept = fake.answers["POST", "/v1/vms"]

    def create(conn):
        made.append(conn.body)
        if fake.asked("POST", "/v1/images/build"):
            accept(conn)
        else:
            conn.error(404, "image.not_found", "there is no image named \"default\"",
                       "make one: `banger image build --name default`")

    fake.on("POST", "/v1/vms", create)
    return made


def test_offers_to_build_the_default_image(home, fake, bare):
    t = home.terminal("create", "web")
    t.wait_for("[Y/n]")
    t.type("\n")
    r = t.finish()
    assert r.status == 0 and "web" in r.out, r
    assert fake.asked("POST", "/v1/images/build") == [{"name": "default"}] and len(bare) == 2


def test_no_is_no(home, fake, bare):
    t = home.terminal("create", "web")
    t.wait_for("[Y/n]")
    t.type("n\n")
    r = t.finish()
    assert r.status == 3 and "banger image build --name default" in r.out, r
    assert not fake.asked("POST", "/v1/images/build")


@pytest.mark.parametrize("more", [["--image", "other"], []])
def test_asks_only_where_it_can_help(home, fake, bare, more):
    """Of an image that was named nothing is offered; without a terminal the command is named."""
    r = home.on_terminal("create", "web", *more) if more else home.run("create", "web")
    assert r.status == 3 and "[Y/n]" not in r.out + r.err, r
    assert "banger image build --name default" in r.out + r.err
    assert not fake.asked("POST", "/v1/images/build")


def test_rename(home, fake):
    fake.operation("POST", "/v1/vms/web/set", "vm.set", "web", [{"state": "done", "result": running("site")}])
    r = home.run("vm", "rename", "web", "site")
    assert r.status == 0 and r.out == "web is now called site\n", r
    assert fake.asked("POST", "/v1/vms/web/set") == [{"name": "site"}]
    r = home.run("rename", "web", "No Name")
    assert r.status == 2 and "No Name" in r.err


def starting(fake, records):
    """A VM whose start is under way as operation 9, and an exec that is refused until then."""
    tries = []

    def answer(conn):
        tries.append(1)
        if len(tries) == 1:
            conn.error(504, "vm.not_ready", "the agent in VM \"web\" does not answer yet")
        else:
            conn.error(400, "request.invalid", "second try")

    def follow(conn):
        conn.stream()
        for over in records:
            conn.line({"id": "9", "kind": "vm.start", "target": "web", "state": "running", "stages": [], "elapsed_ms": 1, **over})
        if records[-1].get("state", "running") == "running":
            fake.left.wait(60)
        conn.end()

    fake.left = threading.Event()
    fake.on("POST", "/v1/vms/web/exec", answer)
    fake.on("GET", "/v1/vms/web", vm("web", state="starting", operation="9"))
    fake.on("GET", "/v1/operations/9/events", follow)
    return tries


def test_exec_waits_for_the_agent_and_no_longer(home, fake):
    """The start goes on behind it: packages are brought in."""
    tries = starting(fake, [{"stages": [stage("boot", "waiting for the guest", 0, "running")]},
                            {"stages": [stage("boot", "waiting for the guest", 9, "done"),
                                        stage("packages", "installing missing packages in the guest", 0, "running")]}])
    r = home.run("vm", "exec", "web", "--", "true")
    fake.left.set()
    assert "second try" in r.err and len(tries) == 2, r
    assert not fake.asked("POST", "/v1/vms/web/start") and not fake.asked("DELETE", "/v1/operations/9")


def test_exec_tells_why_that_start_failed(home, fake):
    tries = starting(fake, [{"state": "failed", "error": {"code": "vm.not_ready", "message": "web did not come up",
                                                          "hint": "look", "exit": 6}}])
    r = home.run("vm", "exec", "web", "--", "true")
    assert r.status == 6 and r.err.count("web did not come up") == 1 and len(tries) == 1, r


def test_ctrl_c_ends_the_wait_and_not_the_start(home, fake):
    starting(fake, [{"stages": [stage("boot", "waiting for the guest", 0, "running")]}])
    t = home.terminal("vm", "exec", "web", "--", "true")
    t.wait_for("waiting for the guest")
    t.interrupt()
    r = t.finish()
    fake.left.set()
    assert r.status == 130 and not fake.asked("DELETE", "/v1/operations/9"), r
