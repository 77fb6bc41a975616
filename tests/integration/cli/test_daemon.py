# SPDX-License-Identifier: ISC
"""Starting and stopping the daemon, with a bangerd that is a script next to a copied banger."""
import json
import os
import shutil
import signal
import time

import pytest

from conftest import BANGER, DEADLINE_S
from fake_daemon import daemon

HERE = os.path.dirname(os.path.abspath(__file__))

# Serves until it is told to stop; leaves a mark for each start.
GOOD = f"""#!/usr/bin/python3
import os, sys, threading
sys.path.insert(0, {HERE!r})
sys.dont_write_bytecode = True
from fake_daemon import FakeDaemon, daemon
run = os.environ["HOME"] + "/.local/state/banger/run/"
ready = int(sys.argv[sys.argv.index("--ready-fd") + 1])
open(run + "starts", "a").write("x")
open(run + "fds", "w").write(" ".join(sorted(os.listdir("/proc/self/fd"))))
over = threading.Event()
fake = FakeDaemon(run + "bangerd.sock")
me = daemon(pid=os.getpid(), monitor_pid=os.getpid())
fake.on("GET", "/v1/daemon", me)
fake.on("GET", "/v1/vms", {{"vms": []}})
fake.on("POST", "/v1/daemon/stop", lambda c: (c.json(me), over.set()))
os.write(ready, b"ok\\n")
os.close(ready)
over.wait(60)
fake.stop()
"""


@pytest.fixture
def tree(home):
    """A home with banger copied into a build tree of its own."""
    os.makedirs(home.path + "/cli")
    home.banger = shutil.copy(BANGER, home.path + "/cli/banger")
    os.makedirs(home.path + "/daemon")
    home.own(home.path)
    yield home
    if os.path.exists(home.socket):
        home.run("daemon", "stop")


def bangerd(home, text):
    home.program("daemon/bangerd", text)


def read(home, name):
    with open(os.path.join(home.run_dir, name), encoding="utf-8") as file:
        return file.read()


def test_any_command_starts_it(tree):
    bangerd(tree, GOOD)
    r = tree.run("vm", "list")
    assert r.status == 0, r
    r = tree.run("vm", "list")
    assert r.status == 0 and read(tree, "starts") == "x"
    assert os.stat(tree.run_dir).st_mode & 0o777 == 0o700


def test_it_inherits_nothing(tree):
    bangerd(tree, GOOD)
    with open("/dev/null", encoding="utf-8") as extra:
        os.set_inheritable(extra.fileno(), True)
        tree.start("daemon", "start", close_fds=False).wait(DEADLINE_S)
    # 0, 1, 2, the ready fd, and one that listdir itself and one that the mark's open may use
    assert len(read(tree, "fds").split()) <= 6


def test_a_stale_socket_does_not_matter(tree):
    bangerd(tree, GOOD.replace("over = ", "os.unlink(run + 'bangerd.sock'); over = "))
    import socket
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(tree.socket)
    stale.close()
    tree.own(tree.path)
    assert tree.run("vm", "list").status == 0


def test_several_at_once_start_one(tree):
    bangerd(tree, GOOD)
    processes = [tree.start("vm", "list") for _ in range(4)]
    assert [p.wait(DEADLINE_S) for p in processes] == [0] * 4
    assert read(tree, "starts") == "x"


def test_start_and_stop_wait(tree):
    bangerd(tree, GOOD)
    r = tree.run("daemon", "start")
    assert r.status == 0 and r.out.startswith("the daemon is running, pid ")
    pid = int(r.out.split()[-1])
    assert json.loads(tree.run("daemon", "start", "--json").out)["pid"] == pid
    r = tree.run("daemon", "stop")
    assert r.status == 0 and r.out == "the daemon stopped; 1 VM runs on\n"
    # Nobody waits for it but init, so it may be a zombie; it is no more than that.
    assert not alive(pid)
    r = tree.run("daemon", "stop")
    assert r.status == 0 and r.out == "the daemon is not running\n"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_its_error_is_shown(tree):
    error = {"code": "config.invalid", "message": "config.toml:3: no such key \"vcpu\"",
             "hint": "remove it"}
    bangerd(tree, "#!/usr/bin/python3\nimport os\n"
                  f"os.write(3, {(json.dumps(error) + chr(10)).encode()!r})\n")
    r = tree.run("vm", "list")
    assert r.status == 2
    assert r.err == "banger: config.toml:3: no such key \"vcpu\"\n  remove it\n"


def test_its_last_words_are_shown(tree):
    bangerd(tree, "#!/bin/sh\necho first >&2\necho 'libevent.so: no such file' >&2\nexit 127\n")
    r = tree.run("vm", "start", "a")
    assert r.status == 7 and r.err.count("banger: ") == 1
    assert "did not start: libevent.so: no such file" in r.err and "bangerd.log" in r.err


def test_it_dies_without_a_word(tree):
    bangerd(tree, "#!/bin/sh\nkill -SEGV $$\n")
    r = tree.run("vm", "list")
    assert r.status == 7 and "did not start: it was killed by signal 11" in r.err
    bangerd(tree, "#!/bin/sh\nexit 0\n")
    r = tree.run("vm", "list")
    assert r.status == 7 and "did not start and did not say why" in r.err


def test_it_cannot_be_executed(tree):
    bangerd(tree, "#!/nonexistent/interpreter\n")
    r = tree.run("vm", "list")
    assert r.status == 7 and "cannot execute it: No such file" in r.err


def test_it_is_not_installed(tree):
    if os.path.exists("/usr/libexec/banger/bangerd"):
        pytest.skip("bangerd is installed on this machine")
    r = tree.run("vm", "list")
    assert r.status == 7 and "bangerd is not installed" in r.err


def test_status_and_socket_do_not_start_it(tree):
    bangerd(tree, GOOD)
    r = tree.run("daemon", "status")
    assert r.status == 7 and "not running" in r.out and tree.socket in r.out
    assert "bangerd.log" in r.out and r.err == ""
    assert json.loads(tree.run("daemon", "status", "--json").out)["pid"] is None
    assert tree.run("daemon", "socket").out == tree.socket + "\n"
    assert not os.path.exists(tree.run_dir + "/starts")


def test_a_run_directory_of_someone_else(tree):
    if os.geteuid() != 0:
        pytest.skip("needs root to make a directory of another user")
    bangerd(tree, GOOD)
    os.chown(tree.run_dir, 64124, 64124)
    os.chmod(tree.run_dir, 0o777)
    r = tree.run("vm", "list")
    assert r.status == 5 and "belongs to uid 64124" in r.err
    assert not os.path.exists(tree.run_dir + "/starts")


def test_stop_waits_until_it_is_gone(tree):
    """The daemon lingers until the test has seen that stop still waits."""
    bangerd(tree, GOOD.replace("fake.stop()\n", "fake.stop()\n"
                               "open(run + 'fifo').read()\n"))
    os.mkfifo(tree.run_dir + "/fifo")
    tree.own(tree.path)
    assert tree.run("daemon", "start").status == 0
    process = tree.start("daemon", "stop")
    # Opening the write end waits until the daemon has stopped serving and reads.
    with open(tree.run_dir + "/fifo", "w", encoding="utf-8"):
        assert process.poll() is None
    assert process.wait(DEADLINE_S) == 0


def test_daemon_json_of_the_fake_is_as_documented():
    assert {"version", "pid", "monitor_pid", "socket", "log", "config"} <= set(daemon())


def test_interrupting_a_start_leaves(tree):
    bangerd(tree, "#!/bin/sh\necho > started\nexec cat fifo\n".replace(
        "started", tree.path + "/started").replace("fifo", tree.path + "/fifo"))
    os.mkfifo(tree.path + "/fifo")
    tree.own(tree.path)
    process = tree.start("vm", "start", "a")
    end = time.monotonic() + DEADLINE_S
    while not os.path.exists(tree.path + "/started"):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == -signal.SIGINT
    with open(tree.path + "/fifo", "w", encoding="utf-8"):
        pass  # lets the script end


def test_a_daemon_that_does_not_answer(home):
    """It takes calls and says nothing: every kind of command ends by itself."""
    import socket
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(home.socket)
    silent.listen(64)
    home.own(home.path)
    home.env["BANGER_TIMEOUT"] = "3"
    runs = [home.start(*args, stderr=-1, stdout=-1, text=True) for args in (
        ["vm", "list"], ["vm", "start", "a"], ["vm", "logs", "a"], ["vm", "exec", "a", "--", "true"],
        ["daemon", "status"], ["daemon", "stop"])]
    for p in runs:
        _, err = p.communicate(timeout=DEADLINE_S)
        assert p.returncode == 6 and "did not answer within 3 s" in err and "restart --force" in err, (p.args, err)
    silent.close()
