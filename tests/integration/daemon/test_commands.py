# SPDX-License-Identifier: ISC
"""`banger daemon ...` and what other commands say of a daemon that is not itself."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import alive, wait_for  # first: it knows where the libraries are

from kernels import COW, write_vmlinux


def pids(daemon):
    body = daemon.call()["body"]
    return body["monitor_pid"], body["pid"]


def test_restart_reads_the_configuration_anew(daemon):
    assert daemon.banger("daemon", "start").returncode == 0
    monitor, engine = pids(daemon)
    daemon.config('log_level = "debug"\n')
    r = daemon.banger("daemon", "status")
    assert "changed since the daemon started" in r.stdout and r.returncode == 0
    r = daemon.banger("daemon", "restart")
    assert r.returncode == 0 and r.stdout.startswith("the daemon was restarted, pid "), r
    assert not alive(monitor) and not alive(engine)
    daemon.call("GET", "/nothing")
    wait_for(lambda: '"level":"debug"' in daemon.log_text())
    status = json.loads(daemon.banger("daemon", "status", "--json").stdout)
    assert status["config_changed"] is False and status["config_error"] is None


def test_a_broken_configuration_is_said_and_stops_nothing(daemon):
    assert daemon.banger("daemon", "start").returncode == 0
    monitor, engine = pids(daemon)
    daemon.config("nonsense = 3\n")
    r = daemon.banger("daemon", "status")
    assert 'config.toml:1: there is no key "nonsense"' in r.stdout
    r = daemon.banger("daemon", "restart")
    assert r.returncode == 2 and 'there is no key "nonsense"' in r.stderr
    assert pids(daemon) == (monitor, engine)
    r = daemon.banger("daemon", "stop")
    assert (r.returncode, r.stdout) == (0, "the daemon stopped\n")
    r = daemon.banger("daemon", "status")
    assert r.returncode == 7 and 'there is no key "nonsense"' in r.stdout


def test_every_command_says_why_the_daemon_cannot_start(daemon):
    daemon.config("vmm = 3\n")
    for args in (["vm", "list"], ["image", "list"], ["vm", "show", "a"], ["vm", "create", "a"], ["vm", "start", "a", "b"],
                 ["vm", "logs", "a"], ["vm", "exec", "a", "--", "true"]):
        r = daemon.banger(*args)
        assert r.returncode == 2 and r.stderr.count("vmm is to be") == 1, (args, r)


def test_status_says_why_the_last_start_failed(daemon):
    subprocess.run(["install", "-d", "-m", "700", "-o", str(daemon.user.uid), "-g", str(daemon.user.gid),
                    daemon.user.home + "/.local", daemon.user.home + "/.local/state", daemon.state], check=True)
    os.mkdir(daemon.state + "/worker.log")  # what it cannot open
    assert daemon.banger("vm", "list").returncode != 0
    r = daemon.banger("daemon", "status")
    assert r.returncode == 7 and "last start" in r.stdout and "worker.log" in r.stdout, r
    assert "worker.log" in json.loads(daemon.banger("daemon", "status", "--json").stdout)["start_error"]["message"]
    os.rmdir(daemon.state + "/worker.log")
    assert daemon.banger("daemon", "start").returncode == 0
    daemon.banger("daemon", "stop")
    assert "last start" not in daemon.banger("daemon", "status").stdout


def test_commands_find_a_daemon_whose_socket_was_removed(daemon):
    assert daemon.banger("daemon", "start").returncode == 0
    before = pids(daemon)
    os.unlink(daemon.socket)
    r = daemon.banger("vm", "list")
    assert r.returncode == 0, r
    assert pids(daemon) == before
    os.unlink(daemon.socket)
    r = daemon.banger("daemon", "stop")
    assert (r.returncode, r.stdout) == (0, "the daemon stopped\n"), r
    assert not alive(before[0]) and not alive(before[1])


def test_force_ends_what_does_not_answer(daemon):
    assert daemon.banger("daemon", "start").returncode == 0
    monitor, engine = pids(daemon)
    os.kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    r = daemon.banger("daemon", "restart", "--force")
    assert r.returncode == 0 and time.monotonic() - began < 25, r
    assert not alive(monitor) and not alive(engine)
    monitor, engine = pids(daemon)
    for pid in (monitor, engine):
        os.kill(pid, signal.SIGSTOP)
    r = daemon.banger("daemon", "stop", "--force")
    assert (r.returncode, r.stdout) == (0, "the daemon stopped\n"), r
    wait_for(lambda: not alive(monitor) and not alive(engine))
    r = daemon.banger("daemon", "stop", "--force")
    assert (r.returncode, r.stdout) == (0, "the daemon is not running\n"), r


def test_whoever_holds_a_lock_is_told_within_half_a_minute(daemon):
    """Both at once: one for the start, one for the daemon."""
    daemon.banger("daemon", "start")
    daemon.banger("daemon", "stop")
    for name in ("bangerd.lock", "run/start.lock"):
        holder = daemon.user.popen(["flock", f"{daemon.state}/{name}", "sleep", "600"], env=daemon.env)
        try:
            wait_for(lambda: subprocess.run(["flock", "-n", f"{daemon.state}/{name}", "true"]).returncode)
            r = daemon.banger("vm", "list", timeout=40)
            assert r.returncode != 0 and ("lock" in r.stderr), (name, r)
        finally:
            subprocess.run(["pkill", "-P", str(holder.pid)])
            holder.kill()
            holder.wait()


@pytest.fixture
def silent_registry():
    """Takes connections and says nothing: a pull from it runs until it is cancelled."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}/some/image"


def pull(daemon, ref):
    """A pull that is under way, and a kernel for it."""
    p = daemon.user.popen([daemon.user.home + "/cli/banger", "image", "pull", ref, "--name", "img", "--kernel-ref", "k"],
                          env=daemon.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: json.loads(daemon.banger("op", "list", "--json").stdout))
    return p


@pytest.fixture
def pulling(daemon, silent_registry):
    kernel = daemon.user.home + "/vmlinux"
    write_vmlinux(kernel)
    os.chmod(kernel, 0o644)
    r = daemon.banger("kernel", "import", kernel, "--name", "k")
    assert r.returncode == 0, r
    p = pull(daemon, silent_registry)
    yield p
    p.kill()
    p.communicate()


def test_stop_does_not_break_what_runs(daemon, pulling):
    monitor, engine = pids(daemon)
    r = daemon.banger("daemon", "stop")
    assert r.returncode == 4 and '1 operation is running: image.pull of "img"' in r.stderr and "--cancel" in r.stderr, r
    assert daemon.banger("daemon", "restart").returncode == 4
    assert pids(daemon) == (monitor, engine) and pulling.poll() is None
    r = daemon.banger("daemon", "stop", "--cancel")
    assert (r.returncode, r.stdout) == (0, "the daemon stopped\n"), r
    assert not alive(engine)
    assert pulling.wait(60) != 0
    assert not os.path.exists(daemon.state + "/images/img"), "what it had begun was undone before the end"
    assert json.loads(daemon.banger("image", "list", "--json").stdout) == []


def test_stop_waits_for_what_runs(daemon, pulling):
    p = daemon.user.popen([daemon.user.home + "/cli/banger", "daemon", "stop", "--wait"], env=daemon.env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stderr.readline() == 'waiting for image.pull of "img"\n'
    ident = json.loads(daemon.banger("op", "list", "--json").stdout)[0]["id"]
    daemon.banger("op", "cancel", ident)  # its answer may be lost: the daemon stops as soon as nothing runs
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and out == "the daemon stopped\n", err


def test_a_kernel_is_replaced_under_its_name(daemon):
    """What an earlier banger imported gets what disks need that the guest joins; who uses the name has it from then on."""
    daemon.config('storage = "guest-cow"\n')
    home = daemon.user.home
    old, new, junk, rootfs = (os.path.join(home, name) for name in ("old", "new", "junk", "rootfs.ext4"))
    write_vmlinux(old, "6.1.0-old")
    write_vmlinux(new, "6.1.0-new", words=COW)
    with open(junk, "wb") as f:
        f.write(b"no kernel")
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", rootfs, "64M"], check=True)
    for path in (old, new, junk, rootfs):
        os.chown(path, daemon.user.uid, daemon.user.gid)

    def ok(*args):
        r = daemon.banger(*args)
        assert r.returncode == 0, r
        return r.stdout

    def shown(*args):
        return json.loads(ok(*args, "--json"))

    ok("kernel", "import", old, "--name", "k")
    ok("image", "register", "--name", "img", "--rootfs", rootfs, "--kernel-ref", "k")
    ok("vm", "create", "a", "--image", "img", "--no-start")
    vm = shown("vm", "show", "a")
    assert vm["storage"] == "copy" and "kernel import --replace" in vm["storage_reason"], vm
    assert shown("daemon", "status")["storage"]["copied_kernels"] == ["k"]
    assert daemon.banger("kernel", "import", new, "--name", "k").returncode == 4
    before = shown("kernel", "show", "k")
    r = daemon.banger("kernel", "import", junk, "--name", "k", "--replace")
    assert r.returncode != 0 and shown("kernel", "show", "k") == before

    ok("kernel", "import", new, "--name", "k", "--replace")
    kernel = shown("kernel", "show", "k")
    assert kernel["release"] == "6.1.0-new" and kernel["used_by"] == before["used_by"] == ["img", "a"], kernel
    assert not os.path.exists(before["path"]) and os.path.exists(kernel["path"])
    assert shown("daemon", "status")["storage"]["copied_kernels"] == []
    ok("vm", "create", "b", "--image", "img", "--no-start")
    vms = [shown("vm", "show", name) for name in "ab"]
    assert [vm["storage"] for vm in vms] == ["copy", "guest-cow"]  # each keeps its own
    assert os.stat(vms[1]["paths"]["disk"]).st_blocks * 512 < 1 << 20
    ok("daemon", "restart")
    assert {**shown("kernel", "show", "k"), "used_by": kernel["used_by"]} == kernel
    assert [shown("vm", "show", name)["storage"] for name in "ab"] == ["copy", "guest-cow"]
