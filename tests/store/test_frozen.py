# SPDX-License-Identifier: ISC
"""A file system that is frozen, as for a snapshot: who writes to it waits in the kernel and cannot be killed. Commands end and say what the
daemon waits for; thawed, all goes on, in the same engine."""
import subprocess
import time

from conftest import SHARE, Host, wait_for
from loopdisk import frozen, loop_disk

AS_LONG_AS = 2 if SHARE else 25  # by name: longer than the monitor waits for an engine that hangs


def popen(host, *words):
    return host.user.popen([host.programs + "/cli/banger", *words], env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)


def test_commands_say_what_the_daemon_waits_for_and_go_on_when_it_is_thawed(user):
    with loop_disk(user, "ext4", 200) as folder:
        host, setting = Host(user, home=folder), None
        try:
            host.make_image()
            host.make_vm("a")
            host.make_vm("b", "--no-start")
            pid = host.ask("/v1/daemon")[0]["pid"]
            with frozen(folder):
                setting = popen(host, "vm", "set", "b", "--cpus", "2")
                say_why(host)
                op_says(host)
                time.sleep(AS_LONG_AS)
            _, err = setting.communicate(timeout=120)
            assert setting.returncode == 0 or (AS_LONG_AS > 20 and "did not answer" in err), err
            check_after(host, pid, (2,) if setting.returncode == 0 else (1, 2))
        finally:
            if setting:
                setting.kill()
                setting.communicate()
            host.kill()


def says(host):
    """The store waits, and the daemon answers: its log is not its to write."""
    return "does not answer: process" in host.banger("daemon", "status").stdout


def op_says(host):
    """The operation, to whoever looks at it: for which disk it waits."""
    wait_for(lambda: "waiting for the disk of " + host.state in host.banger("op", "list").stdout)
    [op] = [op for op in host.ask("/v1/operations")[0]["operations"] if op["state"] == "running"]
    assert op["kind"] == "vm.set" and op["stages"][-1]["text"].startswith("waiting for the disk of " + host.state), op
    shown = host.json("op", "show", op["id"])
    assert shown["stages"][-1]["text"] == op["stages"][-1]["text"], shown


def say_why(host):
    host.env["BANGER_TIMEOUT"] = "3"
    wait_for(lambda: says(host))
    for words in (["vm", "list"], ["vm", "show", "b"], ["image", "list"]):
        host.banger(*words)
    del host.env["BANGER_TIMEOUT"]


def check_after(host, pid, processors):
    facts = host.facts()
    vms = facts.names()["vms"]
    assert set(vms) == {"a", "b"} and vms["b"][0] in processors, vms
    assert host.ask("/v1/daemon")[0]["pid"] == pid
    assert {vm["name"]: vm["state"] for vm in facts.vms} == {"a": "running", "b": "stopped"} and facts.unlisted() == []
    host.banger("vm", "stop", "a")
