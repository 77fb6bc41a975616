# SPDX-License-Identifier: ISC
"""Taps made ahead of time: there while the daemon is, none without it, and no more after a crash. No guest is booted."""
import os
import signal
import subprocess

from conftest import own_taps, wait_for


def ready(user):
    taps = user.banger.json("daemon", "status")["taps"]
    return taps["ready"] == taps["size"] and taps["size"]


def test_pool_lives_with_the_daemon(make_user):
    user = make_user("bgt-pool")
    uid = user.user.uid
    user.banger.ok("daemon", "start")
    assert wait_for(lambda: ready(user), 20) == 2
    assert len(own_taps(uid)) == 2
    assert "2 of 2 ready" in user.banger.ok("daemon", "status").out
    user.banger.ok("daemon", "stop")
    assert own_taps(uid) == []

    user.config("tap_pool = 3\n")
    user.banger.ok("daemon", "start")
    assert wait_for(lambda: ready(user), 20) == 3
    status = user.banger.json("daemon", "status")
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, signal.SIGKILL)
    user.config("tap_pool = 1\n")
    wait_for(lambda: user.banger("daemon", "start").status == 0, 20)
    wait_for(lambda: ready(user) == 1 and len(own_taps(uid)) == 1, 20)
    user.banger.ok("daemon", "stop")

    user.config("tap_pool = 0\n")
    user.banger.ok("daemon", "start")
    assert user.banger.json("daemon", "status")["taps"] == {"size": 0, "ready": 0}
    assert "taps" not in user.banger.ok("daemon", "status").out
    assert own_taps(uid) == []


def test_doctor_says_that_vms_can_be_run(make_user):
    user = make_user("bgt-doc")
    record = user.banger.json("doctor")
    got = {c["name"]: c for c in record["checks"]}
    assert record["ok"] and got["vmm"]["state"] == got["helper"]["state"] == "ok", record
    assert "version matches" in got["helper"]["text"]
    user.config("no_such_key = 1\n")
    user.banger.ok("daemon", "stop")
    failed = user.banger("doctor")
    assert failed.status == 5 and "fail  daemon" in failed.out and "no_such_key" in failed.out, failed


def test_doctor_tells_a_stranger_what_to_do(make_user):
    user = make_user("bgt-out", groups=())
    result = user.banger("doctor")
    assert result.status == 5, result
    assert "fail  helper" in result.out and "usermod -aG banger" in result.out, result


def helper_pid(user):
    """Of the user's network helper: it is not dumpable, so that root asks for its name."""
    out = subprocess.run(["pgrep", "-u", str(user.user.uid), "-f", "banger-privhelper$"], capture_output=True, text=True).stdout.split()
    return int(out[0]) if out else None


def test_killed_helper_is_started_again(make_user):
    user = make_user("bgt-again")
    uid = user.user.uid
    user.banger.ok("daemon", "start")
    wait_for(lambda: ready(user), 20)
    first, taps = helper_pid(user), own_taps(uid)
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: (p := helper_pid(user)) != first and p, 20)
    wait_for(lambda: user.banger.json("daemon", "status")["helper"]["ok"] and ready(user), 20)
    assert own_taps(uid) == taps
    # One that dies soon after its start is given more and more time, but somebody in need does not wait for that.
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: helper_pid(user) not in (None, second), 20)
    user.banger.ok("daemon", "stop")
    assert own_taps(uid) == []
