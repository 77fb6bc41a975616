# SPDX-License-Identifier: ISC
"""A file system that is frozen, as for a snapshot: who writes to it waits in the kernel and cannot be killed. Commands end and say what the
daemon waits for; thawed, all goes on, in the same engine."""
import subprocess
import time

from conftest import SHARE, Host
from loopdisk import frozen, loop_disk

AS_LONG_AS = 2 if SHARE else 40  # by name: longer than the monitor waits for an engine that hangs


def popen(host, *words):
    return host.user.popen([host.programs + "/cli/banger", *words], env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)


def test_commands_say_what_the_daemon_waits_for_and_go_on_when_it_is_thawed(user):
    with loop_disk(user, "ext4", 200) as folder:
        host = Host(user, home=folder)
        try:
            host.banger("kernel", "import", host.sources + "/vmlinux", "--name", "k")
            host.banger("image", "register", "--name", "r", "--rootfs", host.sources + "/rootfs.ext4", "--kernel-ref", "k")
            host.banger("vm", "create", "a", "--image", "r", "--cpus", "1", "--memory", "128M")
            host.banger("vm", "create", "b", "--image", "r", "--cpus", "1", "--memory", "128M", "--no-start")
            pid = host.ask("/v1/daemon")[0]["pid"]
            with frozen(folder):
                host.banger("vm", "list")  # writes nothing
                setting = popen(host, "vm", "set", "b", "--cpus", "2")
                host.env["BANGER_TIMEOUT"] = "3"
                say_why(host)
                time.sleep(AS_LONG_AS)
            del host.env["BANGER_TIMEOUT"]
            out, err = setting.communicate(timeout=120)
            assert setting.returncode == 0 or (AS_LONG_AS > 20 and "did not answer" in err), err
            check_after(host, pid)
        finally:
            host.kill()


def say_why(host):
    for words in (["vm", "list"], ["daemon", "status"], ["vm", "create", "c", "--image", "r", "--no-start"], ["vm", "delete", "b"]):
        r = host.banger(*words, ok=False)
        assert r.returncode == 6 and "waits for a disk" in r.stderr and host.state in r.stderr, (words, r)


def check_after(host, pid):
    facts = host.facts()
    assert facts.names()["vms"] == {"a": (1, True), "b": (2, True)}, "what was begun is done, what was given up is not begun"
    assert host.ask("/v1/daemon")[0]["pid"] == pid
    assert {vm["name"]: vm["state"] for vm in facts.vms} == {"a": "running", "b": "stopped"} and facts.unlisted() == []
    host.banger("vm", "stop", "a")
