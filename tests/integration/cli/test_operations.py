# SPDX-License-Identifier: ISC
"""Commands that work: what is sent, how it is followed, told and cancelled."""
import json
import threading

import pytest

from fake_daemon import Hangup, image, kernel, running, stage, vm

STAGES = [stage("disks", "make disks", 12), stage("boot", "boot the guest", 3200)]


def done(result, **over):
    return {"state": "done", "stages": STAGES, "result": result, "elapsed_ms": 3250, **over}


def failed(code, message, hint=None, state="failed"):
    return {"state": state, "stages": STAGES,
            "error": {"code": code, "message": message, "hint": hint, "exit": 1}}


def test_create_sends_what_was_asked(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "web", [done(running("web"))])
    r = home.run("vm", "create", "web", "--image", "debian", "--kernel=cloud", "--cpus", "4",
                 "--memory", "1.5G", "--disk-size", "20G", "--work-size=512M", "--nat",
                 "--no-start")
    assert r.status == 0, r
    assert fake.asked("POST", "/v1/vms") == [{
        "name": "web", "image": "debian", "kernel": "cloud", "cpus": 4, "memory_mib": 1536,
        "disk_mib": 20480, "work_mib": 512, "nat": True, "start": False}]
    assert r.out == "web is ready in 3.2 s, at 10.209.1.2\n"
    assert r.err == "web: make disks\nweb: boot the guest\n"


def test_create_says_that_ssh_is_missing(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "web", [done(running("web", ssh={"sshd": False, "setup": "no_manager"}))])
    r = home.run("vm", "create", "web", "--nat")
    assert r.status == 0 and r.out == "web is ready in 3.2 s, at 10.209.1.2\n"
    assert r.err.endswith("web has no ssh server, nor a package manager that could bring one in\n")


@pytest.mark.parametrize("nat", [True, False])
def test_create_says_that_an_init_needs_servers(home, fake, nat):
    fake.operation("POST", "/v1/vms", "vm.create", "web", [done(running("web", nat=nat, with_init=True))])
    r = home.run("vm", "create", "web", "--with-init")
    assert r.status == 0 and ("can bring nothing in while NAT is off" in r.err) == (not nat)


def test_create_without_words_leaves_all_to_the_daemon(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "brave-otter", [done(vm("brave-otter"))])
    r = home.run("vm", "create")
    assert fake.asked("POST", "/v1/vms") == [{}]
    assert r.out == "brave-otter is made in 3.2 s\n"


def test_create_json_and_timing(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "web", [done(running("web"))])
    r = home.run("vm", "create", "web", "--json", "--timing")
    assert json.loads(r.out) == running("web")
    assert "12 ms  disks           make disks" in r.err
    assert "3200 ms  boot" in r.err and "3250 ms  total" in r.err


@pytest.mark.parametrize("verb,word", [("start", "is ready"), ("stop", "stopped"),
                                       ("restart", "is ready again"), ("kill", "killed")])
def test_one_verb(home, fake, verb, word):
    fake.operation("POST", f"/v1/vms/web/{verb}", f"vm.{verb}", "web", [done(vm("web"))])
    r = home.run("vm", verb, "web")
    assert r.status == 0 and r.out == f"web {word} in 3.2 s\n"
    assert fake.asked("POST", f"/v1/vms/web/{verb}") == [None]


def test_delete(home, fake):
    fake.operation("DELETE", "/v1/vms/web", "vm.delete", "web", [done(None)])
    assert home.run("vm", "delete", "web").out == "web deleted in 3.2 s\n"


def test_stop_timeout_and_kill_signal(home, fake):
    fake.operation("POST", "/v1/vms/web/stop", "vm.stop", "web", [done(vm("web"))])
    fake.operation("POST", "/v1/vms/web/kill", "vm.kill", "web", [done(vm("web"))])
    assert home.run("vm", "stop", "--timeout", "5", "web").status == 0
    assert home.run("vm", "kill", "--signal", "SIGTERM", "web").status == 0
    assert fake.asked("POST", "/v1/vms/web/stop") == [{"timeout_s": 5}]
    assert fake.asked("POST", "/v1/vms/web/kill") == [{"signal": "TERM"}]


def test_set(home, fake):
    fake.operation("POST", "/v1/vms/web/set", "vm.set", "web", [done({**vm("web"), "nat": True})])
    assert home.run("vm", "set", "web", "--nat").out == "web changed in 3.2 s\n"
    assert home.run("vm", "set", "web", "--no-nat").status == 0
    assert fake.asked("POST", "/v1/vms/web/set") == [{"nat": True}, {"nat": False}]
    for flags in ([], ["--nat", "--no-nat"]):
        assert home.run("vm", "set", "web", *flags).status == 2


def test_several_names_run_at_once(home, fake):
    """No operation ends before all were asked for: one after the other would hang."""
    barrier = threading.Barrier(3)

    def together(name):
        def records(conn, record):
            barrier.wait(20)
            conn.line(record(**done(running(name))))
        return records

    for name in ("a", "b", "c"):
        fake.operation("POST", f"/v1/vms/{name}/start", "vm.start", name, together(name))
    r = home.run("vm", "start", "a", "b", "c", "a")
    assert r.status == 0, r
    assert sorted(r.out.splitlines()) == [f"{n} is ready in 3.2 s, at 10.209.1.2" for n in "abc"]
    assert len(fake.asked("POST", "/v1/vms/a/start")) == 1


def test_several_names_some_fail(home, fake):
    fake.operation("POST", "/v1/vms/a/start", "vm.start", "a", [done(running("a"))])
    fake.on("POST", "/v1/vms/b/start",
            lambda c: c.error(404, "vm.not_found", "there is no VM with that name"))
    fake.operation("POST", "/v1/vms/c/start", "vm.start", "c",
                   [failed("vmm.failed", "VM \"c\": QEMU refused")])
    r = home.run("vm", "start", "a", "b", "c")
    assert r.out == "a is ready in 3.2 s, at 10.209.1.2\n"
    assert "banger: start b: there is no VM with that name\n" in r.err
    assert "banger: VM \"c\": QEMU refused\n" in r.err
    assert r.status in (1, 3)
    r = home.run("vm", "start", "--json", "a", "b")
    assert json.loads(r.out) == [running("a")] and r.status == 3


def test_failure_is_told_once_with_its_hint(home, fake):
    fake.operation("POST", "/v1/vms", "vm.create", "web",
                   [failed("vm.not_ready", "\"web\" did not get ready", "see `banger vm logs web`")])
    r = home.run("vm", "create", "web")
    assert r.status == 6 and r.out == ""
    assert r.err.endswith("banger: \"web\" did not get ready\n  see `banger vm logs web`\n")
    assert r.err.count("did not get ready") == 1


def test_stages_on_a_terminal(home, fake):
    gates = [threading.Event() for _ in range(3)]

    def boot(text):
        return [STAGES[0], stage("boot", text, 0, "running")]

    def records(conn, record):
        conn.line(record(stages=boot("boot the guest")))
        assert gates[0].wait(20)
        conn.line(record(stages=boot("load modules")))
        assert gates[1].wait(20)
        conn.line(record(stages=boot("x"), progress={"done": 3 << 20, "total": 1 << 30,
                                                     "unit": "bytes", "text": "agent"}))
        assert gates[2].wait(20)
        conn.line(record(**done(running("web"), stages=[STAGES[0], stage("boot", "y", 3200)])))

    fake.operation("POST", "/v1/vms", "vm.create", "web", records)
    t = home.terminal("vm", "create", "web", env={"NO_COLOR": "1"})
    t.wait_for("  boot the guest\033[K")
    gates[0].set()
    t.wait_for("boot the guest  load modules\033[K")
    gates[1].set()
    t.wait_for("boot the guest  3M/1G, agent\033[K")
    gates[2].set()
    r = t.finish()
    assert r.status == 0
    # what stays: each stage by its first text, then the report
    assert "   12 ms  make disks\n" in r.out
    assert "   3.2 s  boot the guest\n" in r.out
    assert "web is ready in 3.2 s, at 10.209.1.2\n  banger vm ssh web\n" in r.out


def test_a_failed_stage_on_a_terminal(home, fake):
    stages = [STAGES[0], stage("boot", "boot the guest", 100, "failed")]
    fake.operation("POST", "/v1/vms", "vm.create", "web",
                   [{**failed("vmm.died", "QEMU died", "see its log"), "stages": stages}])
    r = home.on_terminal("vm", "create", "web", env={"NO_COLOR": "1"})
    assert r.status == 1
    assert "  100 ms  boot the guest: failed\nbanger: QEMU died\n  see its log\n" in r.out


def cancellable(fake, name, ended):
    """A create that runs until DELETE of its operation."""
    gate = threading.Event()

    def records(conn, record):
        conn.line(record(stages=[stage("boot", "boot the guest", 0, "running")]))
        assert gate.wait(30)
        conn.line(record(**ended))

    ident = fake.operation("POST", f"/v1/vms/{name}/start", "vm.start", name, records)

    def cancel(conn):
        conn.json({"operation": {}}, 202)
        gate.set()

    fake.on("DELETE", f"/v1/operations/{ident}", cancel)
    return ident


def test_ctrl_c_cancels_and_waits(home, fake):
    idents = [cancellable(fake, n, {"state": "cancelled"}) for n in ("a", "b")]
    t = home.terminal("vm", "start", "a", "b")
    t.wait_for("boot the guest")
    for ident in idents:
        fake.wait_asked("GET", f"/v1/operations/{ident}/events")
    t.interrupt()
    r = t.finish()
    assert r.status == 130
    assert "cancelling" in r.out
    for n in "ab":
        assert f"start {n} was cancelled" in r.out
    for ident in idents:
        assert len(fake.asked("DELETE", f"/v1/operations/{ident}")) == 1


def test_second_ctrl_c_leaves_at_once(home, fake):
    forever = threading.Event()
    ident = fake.operation("POST", "/v1/vms/a/start", "vm.start", "a",
                           lambda conn, record: (conn.line(record()), forever.wait(30)))
    # not even the answer to the cancel is waited for
    fake.on("DELETE", f"/v1/operations/{ident}", lambda c: forever.wait(30))
    t = home.terminal("vm", "start", "a")
    t.wait_for("waiting")
    fake.wait_asked("GET", f"/v1/operations/{ident}/events")
    t.interrupt()
    t.wait_for("cancelling")
    fake.wait_asked("DELETE", f"/v1/operations/{ident}")
    t.interrupt()
    r = t.finish()
    forever.set()
    assert r.status == 130 and "the daemon goes on" in r.out


def test_ctrl_c_before_the_operation_is_known(home, fake):
    gate = threading.Event()
    ident = cancellable(fake, "a", {"state": "cancelled"})
    accepted = fake.answers["POST", "/v1/vms/a/start"]
    fake.on("POST", "/v1/vms/a/start", lambda c: (gate.wait(30), accepted(c)))
    t = home.terminal("vm", "start", "a")
    fake.wait_asked("POST", "/v1/vms/a/start")
    t.interrupt()
    t.wait_for("cancelling")
    gate.set()
    assert t.finish().status == 130
    assert len(fake.asked("DELETE", f"/v1/operations/{ident}")) == 1


def hang_up(conn, record):
    conn.line(record(stages=STAGES))
    raise Hangup


@pytest.mark.parametrize("records", [hang_up, lambda conn, record: conn.line(record())])
def test_daemon_goes_away_meanwhile(home, fake, records):
    fake.operation("POST", "/v1/vms/a/start", "vm.start", "a", records)
    r = home.run("vm", "start", "a")
    assert r.status == 7 and "the daemon went away while it worked on a" in r.err and "`banger vm list`" in r.err


def test_image_build(home, fake):
    fake.operation("POST", "/v1/images/build", "image.build", "dev", [done(image("dev"))])
    with open(home.path + "/list", "w", encoding="utf-8") as file:
        file.write("# tools\ngit  tmux # both\n\nlibstdc++6\n")
    r = home.run("image", "build", "--name", "dev", "--packages", "list", "--kernel", "cloud",
                 "--size", "4G", "--suite", "bookworm", "--mirror", "http://127.0.0.1:1/debian")
    assert r.status == 0, r
    assert r.out == "dev is made in 3.2 s, 700M on disk\n"
    assert fake.asked("POST", "/v1/images/build") == [{
        "name": "dev", "packages": ["git", "tmux", "libstdc++6"], "kernel": "cloud",
        "size_mib": 4096, "suite": "bookworm", "mirror": "http://127.0.0.1:1/debian"}]
    home.run("image", "build", "--name", "dev", "--packages", "-", stdin="vim\n")
    assert fake.asked("POST", "/v1/images/build")[1]["packages"] == ["vim"]


def test_a_bad_package_list_names_its_line(home, fake):
    with open(home.path + "/list", "w", encoding="utf-8") as file:
        file.write("git\n\n-o APT::x=y\n")
    r = home.run("image", "build", "--name", "dev", "--packages", "list")
    assert r.status == 2 and 'list:3: "-o" is not the name of a Debian package' in r.err
    assert fake.requests == []


def test_image_register_sends_whole_paths(home, fake):
    fake.operation("POST", "/v1/images/register", "image.register", "mine", [done(image("mine"))])
    home.program("rootfs.ext4", "")
    r = home.run("image", "register", "--name", "mine", "--rootfs", "rootfs.ext4", "--kernel-ref",
                 "cloud")
    assert r.status == 0, r
    path = home.path + "/rootfs.ext4"
    assert fake.asked("POST", "/v1/images/register") == [
        {"name": "mine", "rootfs": path, "kernel": "cloud"}]
    r = home.run("image", "register", "--name", "mine", "--rootfs", "none.ext4")
    assert r.status == 2 and "--rootfs: none.ext4: No such file" in r.err


def test_kernel_import_and_deletes(home, fake):
    fake.operation("POST", "/v1/kernels/import", "kernel.import", "x", [done(kernel("cloud"))])
    fake.operation("DELETE", "/v1/kernels/cloud", "kernel.delete", "cloud", [done(None)])
    fake.operation("DELETE", "/v1/images/dev", "image.delete", "dev", [done(None)])
    home.program("linux.deb", "")
    r = home.run("kernel", "import", "linux.deb")
    assert r.out == "cloud imported: Linux 6.1.0-18-cloud-amd64, 342 modules\n"
    assert fake.asked("POST", "/v1/kernels/import") == [{"path": home.path + "/linux.deb"}]
    assert home.run("kernel", "delete", "cloud").out == "cloud deleted\n"
    assert home.run("image", "rm", "dev").out == "dev deleted\n"


def test_kernel_import_with_modules_and_initrd(home, fake):
    fake.operation("POST", "/v1/kernels/import", "kernel.import", "x", [done(kernel("cloud"))])
    for name in ("linux.rpm", "modules.rpm", "initrd"):
        home.file(name, "")
    assert home.run("kernel", "import", "linux.rpm", "--modules", "modules.rpm", "--initrd", "initrd").status == 0
    assert fake.asked("POST", "/v1/kernels/import") == [{
        "path": home.path + "/linux.rpm", "modules": home.path + "/modules.rpm", "initrd": home.path + "/initrd"}]
    r = home.run("kernel", "import", "linux.rpm", "--modules", "gone.rpm")
    assert r.status == 2 and "--modules: gone.rpm: No such file" in r.err


def test_image_register_with_a_kernel_of_its_own(home, fake):
    fake.operation("POST", "/v1/images/register", "image.register", "mine", [done(image("mine"))])
    for name in ("rootfs.ext4", "vmlinuz", "m.tar", "initrd"):
        home.file(name, "")
    r = home.run("image", "register", "--name", "mine", "--rootfs", "rootfs.ext4", "--kernel", "vmlinuz",
                 "--modules", "m.tar", "--initrd", "initrd")
    assert r.status == 0, r
    assert fake.asked("POST", "/v1/images/register") == [{
        "name": "mine", "rootfs": home.path + "/rootfs.ext4", "kernel_file": home.path + "/vmlinuz",
        "modules_file": home.path + "/m.tar", "initrd_file": home.path + "/initrd"}]


def test_image_promote(home, fake):
    fake.operation("POST", "/v1/images/mine/promote", "image.promote", "mine",
                   [done({**image("mine"), "paths": {"rootfs": "/s/rootfs.ext4"}})])
    r = home.run("image", "promote", "mine")
    assert r.out == "mine promoted: /s/rootfs.ext4 is now stored by banger\n"


def test_image_export(home, fake):
    result = {"image": "dev", "path": home.path + "/dev.tar.zst", "bytes": 125511853, "sha256": "ab" * 32}
    fake.operation("POST", "/v1/images/dev/export", "image.export", "dev", [done(result)] * 2)
    r = home.run("image", "export", "dev", "dev.tar.zst")
    assert fake.asked("POST", "/v1/images/dev/export") == [{"path": home.path + "/dev.tar.zst"}]
    assert r.out == f"dev exported to {home.path}/dev.tar.zst, 119M\nsha256 {'ab' * 32}\n"
    r = home.run("image", "export", "dev", "none/dev.tar.zst")
    assert r.status == 2 and "none/dev.tar.zst: No such file" in r.err
    assert "names no file" in home.run("image", "export", "dev", home.path + "/").err


def test_image_import_from_file_and_url(home, fake):
    fake.operation("POST", "/v1/images/import", "image.import", "dev", [done(image("dev"))])
    home.file("dev.tar.zst", "")
    r = home.run("image", "import", "dev.tar.zst", "--sha256", "ab" * 32)
    assert r.out.startswith("dev is made in ")
    home.run("image", "import", "https://h/x.tar.zst", "--name", "dev")
    assert fake.asked("POST", "/v1/images/import") == [
        {"from": home.path + "/dev.tar.zst", "sha256": "ab" * 32}, {"from": "https://h/x.tar.zst", "name": "dev"}]
    assert "gone: No such file" in home.run("image", "import", "gone").err
    assert "a URL begins with" in home.run("image", "import", "ftp://h/x").err


def test_pulls_from_catalogs(home, fake):
    fake.operation("POST", "/v1/kernels/pull", "kernel.pull", "k", [done(kernel("k"))] * 2)
    fake.operation("POST", "/v1/images/import", "image.import", "dev", [done(image("dev"))])
    assert home.run("kernel", "pull", "generic", "--name", "k").out.startswith("k imported")
    home.run("kernel", "pull", "generic")
    assert fake.asked("POST", "/v1/kernels/pull") == [{"catalog": "generic", "name": "k"}, {"catalog": "generic"}]
    assert home.run("image", "pull", "--catalog", "dev").out.startswith("dev is made in ")
    assert fake.asked("POST", "/v1/images/import") == [{"catalog": "dev"}]
    assert "has its size and its kernel" in home.run("image", "pull", "--catalog", "dev", "--size", "4G").err
