# SPDX-License-Identifier: ISC
"""vm run: which VM it takes, what it does there, how it ends. The guest is a folder of this machine; /root/repo is not
writable there, so that scripts are told another place."""
import os
import shutil

import pytest

from checkout import Checkout, Guest
from fake_daemon import running, vm


class World:
    """A daemon whose VMs come and go, and a guest behind each."""

    def __init__(self, home, fake):
        self.home, self.fake, self.vms, self.guests = home, fake, {}, {}
        fake.on("GET", "/v1/vms", lambda c: c.json({"vms": list(self.vms.values())}))
        fake.on("POST", "/v1/vms", self._create)

    def add(self, record):
        name = record["name"]
        self.vms[name] = record
        guest = self.guests[name] = Guest(self.home, self.fake, name, "of-" + name)
        plain = guest.agent.change
        guest.agent.change = lambda body: [w if w != "/root/repo" else guest.path for w in plain(body)]
        guest.agent.workdir = lambda folder: guest.path if folder == "/root/repo" else folder
        for verb, path in (("POST", f"/v1/vms/{name}/start"), ("DELETE", f"/v1/vms/{name}"), ("POST", f"/v1/vms/{name}/set")):
            self.fake.operation(verb, path, "vm.x", name, lambda conn, rec, n=name, v=verb: self._op(conn, rec, n, v))
        return guest

    def _op(self, conn, record, name, verb):
        if verb == "DELETE":
            del self.vms[name]
            conn.line(record(state="done", result=None))
            return
        self.vms[name] = running(name, labels=self.vms[name].get("labels", {}))
        conn.line(record(state="done", result=self.vms[name]))

    def _create(self, conn):
        name = conn.body["name"]
        self.add(running(name, image=conn.body.get("image", "default"), labels=conn.body.get("labels", {})))
        ident = self.fake.operation("X", name, "vm.create", name, [{"state": "done", "result": self.vms[name]}])
        conn.json({"operation": {"id": ident, "kind": "vm.create", "target": name, "state": "running", "stages": []}}, 202)


@pytest.fixture
def world(home, fake):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    return World(home, fake)


def make(home, where="site"):
    checkout = Checkout(home, where)
    checkout.write("a", "1\n")
    checkout.commit()
    return checkout


def run(home, *args, cwd=None, **more):
    process = home.start("vm", "run", *args, cwd=cwd or home.path, stdout=-1, stderr=-1, text=True, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_first_and_second_run(home, world):
    checkout = make(home, "My_Site.v2")
    status, out, err = run(home, "--", "sh", "-c", "pwd; cat a; echo oops >&2; exit 7", cwd=checkout.path)
    guest = world.guests["my-site-v2"]
    assert (status, out) == (7, guest.path + "\n1\n"), err
    assert "my-site-v2 is ready after" in err and "1 sent" in err and err.endswith("oops\n")
    assert world.fake.asked("POST", "/v1/vms") == [{"name": "my-site-v2", "labels": {"checkout": checkout.path}}]
    checkout.write("a", "2\n")
    before = checkout.fingerprint()
    status, out, err = run(home, checkout.path + "/.", "--", "cat", "a")
    assert (status, out) == (0, "2\n") and len(world.fake.asked("POST", "/v1/vms")) == 1
    assert checkout.fingerprint() == before


def test_same_name_in_two_places(home, world):
    one, two = make(home, "x/site"), make(home, "y/site")
    world.add(vm("site-2"))
    for checkout, name in ((one, "site"), (two, "site-3"), (one, "site"), (two, "site-3")):
        status, out, err = run(home, checkout.path, "--", "pwd")
        assert status == 0 and out == world.guests[name].path + "\n", err
    assert set(world.vms) == {"site", "site-2", "site-3"}


def test_a_stopped_vm_is_started(home, world):
    checkout = make(home)
    world.add(vm("other", labels={"checkout": checkout.path}))
    status, out, err = run(home, checkout.path, "--nat", "--", "cat", "a")
    assert (status, out) == (0, "1\n"), err
    assert world.fake.asked("POST", "/v1/vms/other/start") == [None] and not world.fake.asked("POST", "/v1/vms")


def test_flags_of_a_new_vm(home, world):
    checkout = make(home)
    run(home, checkout.path, "--name", "mine", "--image", "dev", "--nat", "--no-sync", "--", "true")
    assert world.fake.asked("POST", "/v1/vms") == [
        {"name": "mine", "image": "dev", "nat": True, "labels": {"checkout": checkout.path}}]
    assert not world.guests["mine"].has("a")
    status, _, err = run(home, checkout.path, "--image", "other", "--", "true")
    assert status == 4 and "mine is there already, made of image dev" in err


def test_stdin_and_shell(home, world):
    checkout = make(home)
    process = home.start("vm", "run", checkout.path, "--", "tr", "a-z", "A-Z", stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.communicate("abc" * 100000, timeout=60)[0] == "ABC" * 100000
    process = home.start("vm", "run", checkout.path, stdin=-1, stdout=-1, stderr=-1, text=True)
    out, err = process.communicate("cat a; exit 3\n", timeout=60)
    assert (process.returncode, out) == (3, "1\n"), err


def test_rm_deletes_at_the_end(home, world):
    checkout = make(home)
    run(home, checkout.path, "--", "true")
    status, out, _ = run(home, checkout.path, "--rm", "--", "sh", "-c", "cat a; exit 5")
    assert (status, out) == (5, "1\n") and set(world.vms) == {"site"}
    assert world.fake.asked("POST", "/v1/vms")[1] == {"name": "site-2"}, "one that is thrown away is not found again"
    status, _, err = run(home, checkout.path, "--rm", "--name", "site", "--", "true")
    assert status == 4 and "was there before" in err and set(world.vms) == {"site"}


def test_rm_stays_when_it_was_never_reached(home, world, fake):
    checkout = make(home)
    plain = world.add

    def dead(record):
        guest = plain(record)
        guest.agent.change = lambda body: None
        return guest
    world.add = dead
    status, _, err = run(home, checkout.path, "--rm", "--", "true")
    assert status == 255 and "kept so that you can inspect it: `banger vm logs site`" in err and set(world.vms) == {"site"}


def test_rm_after_a_boot_that_failed(home, world, fake):
    checkout = make(home)
    fake.operation("POST", "/v1/vms", "vm.create", "site", [
        {"state": "failed", "error": {"code": "vm.not_ready", "message": "site did not get ready", "hint": "see", "exit": 6}}])
    status, _, err = run(home, checkout.path, "--rm", "--", "true")
    assert status == 6 and "did not get ready" in err and not fake.asked("DELETE", "/v1/vms/site")


def test_rm_after_ctrl_c(home, world):
    checkout = make(home)
    terminal = home.terminal("vm", "run", checkout.path, "--rm", "--", "sh", "-c", "trap 'exit 9' INT; echo up; read x")
    terminal.wait_for("up")
    os.kill(terminal.process.pid, 2)
    assert terminal.finish().status == 9 and world.vms == {}


def test_outside_of_a_checkout(home, world):
    status, out, err = run(home, "--", "echo", "plain")
    assert (status, out) == (0, "plain\n"), err
    assert world.fake.asked("POST", "/v1/vms")[0].keys() == {"name"}
    status, _, err = run(home, home.path, "--", "true")
    assert status == 2 and "is not in a git checkout" in err and "without PATH" in err
    assert len(world.vms) == 1


@pytest.mark.parametrize("args,text", [(["--"], "no command behind --"), (["/nonexistent"], "No such file"),
                                       (["--name", "A"], "names are 1 to 40"), (["make", "test"], "put -- before"),
                                       (["--rn"], "did you mean --rm")])
def test_bad_input(home, world, args, text):
    status, _, err = run(home, *args)
    assert status == 2 and text in err and err.count("banger: ") == 1 and not world.vms


@pytest.mark.parametrize("folder,name", [("2024", "vm-2024"), ("a--b__c", "a-b-c"), ("ünï", "vm-n"), ("x" * 60, "x" * 36),
                                         ("._", "vm"), ("Ends-", "ends")])
def test_names_made_of_folders(home, world, folder, name):
    status, _, err = run(home, make(home, folder).path, "--no-sync", "--", "true")
    assert status == 0 and set(world.vms) == {name}, err


def test_a_path_that_no_label_holds(home, world):
    checkout = make(home, "new\nline/" + "d" * 200 + "/e" * 40)
    for _ in range(2):
        assert run(home, checkout.path, "--no-sync", "--", "true")[0] == 0
    assert len(world.vms) == 1 and world.vms["e"]["labels"]["checkout"].startswith("sha256-")


def test_files_that_both_changed(home, world):
    checkout = make(home)
    run(home, checkout.path, "--", "sh", "-c", "echo guest >a")
    checkout.write("a", "host\n")
    status, out, err = run(home, checkout.path, "--", "cat", "a")
    assert status == 4 and out == "" and "as well as here: a" in err
    assert run(home, checkout.path, "--force", "--", "cat", "a")[:2] == (0, "host\n")
