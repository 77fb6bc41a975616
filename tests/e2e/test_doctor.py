# SPDX-License-Identifier: ISC
"""The rows helper and daemon of doctor with a real daemon and the real helper, in copies that lack something: the table of faults in
docs/troubleshooting.md has what is expected. Other faults are made in tests/integration/cli/test_faults.py."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from faults import catalogue

HELPER = os.path.realpath("/usr/libexec/banger/banger-privhelper")
# The real helper behind a HELLO of another build: the number of its table is not ours.
OTHER_BUILD = f"""#!/usr/bin/python3
import os, socket, subprocess
engine = socket.socket(fileno=3)
ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
helper = subprocess.Popen(["{HELPER}"], pass_fds=(3,), preexec_fn=lambda: os.dup2(its.fileno(), 3))
its.close()
hello = engine.recv(65536)
ours.send(hello[:-1] + bytes([hello[-1] ^ 1]))
engine.send(ours.recv(65536))
engine.recv(1)  # until the engine goes
helper.kill()
helper.wait()
"""


def expect(user, fault):
    name, says, remedy = catalogue()[fault]
    checks = {c["name"]: c for c in doctor(user)["checks"]}
    remedy, _, fixed = remedy.partition("; --fix does it")
    assert checks[name]["state"] != "ok" and says in checks[name]["text"], checks[name]
    assert remedy.replace("$USER", user.user.name) in checks[name]["hint"], checks[name]
    return checks[name]


def doctor(user, *args):
    return json.loads(user.banger("doctor", "--json", *args).out)


@contextlib.contextmanager
def copied(nosuid=False):
    """A folder of root's with a copy of the helper that has all its rights; nosuid: on such a mount."""
    folder = tempfile.mkdtemp(prefix="bgt-helper.", dir="/usr/libexec")
    try:
        os.chmod(folder, 0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755" + (",nosuid" if nosuid else ",suid"), "none", folder], check=True)
        try:
            own = shutil.copy(HELPER, folder)
            os.chown(own, 0, os.stat(HELPER).st_gid)
            os.chmod(own, 0o2755)
            subprocess.run(["setcap", "cap_net_admin=p", own], check=True)
            yield own
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    finally:
        os.rmdir(folder)


def with_helper(user, path, fault):
    user.env["BANGER_PRIVHELPER"] = path
    try:
        found = expect(user, fault)
    finally:
        user.banger("daemon", "stop")
    assert found["state"] == "fail" and found["fix"] is None


def test_helper_faults(make_user):
    user = make_user("bgt-faults")
    with_helper(user, "/nowhere/banger-privhelper", "helper missing")
    for fault, change in (("helper without setgid", lambda p: (os.chmod(p, 0o755), subprocess.run(["setcap", "cap_net_admin=p", p], check=True))),
                          ("helper without its capability", lambda p: subprocess.run(["setcap", "-r", p], check=True))):
        with copied() as own:
            change(own)
            with_helper(user, own, fault)
    with copied(nosuid=True) as own:
        with_helper(user, own, "helper on a nosuid mount")
    with copied() as own:
        with open(own, "w", encoding="utf-8") as f:
            f.write(OTHER_BUILD)
        os.chmod(own, 0o2755)
        subprocess.run(["setcap", "cap_net_admin=p", own], check=True)
        with_helper(user, own, "helper of another build")


def test_a_copy_with_all_its_rights_is_no_fault(make_user):
    """So that each of the others fails for what was taken from it."""
    user = make_user("bgt-sound")
    with copied() as own:
        user.env["BANGER_PRIVHELPER"] = own
        checks = {c["name"]: c for c in doctor(user)["checks"]}
        user.banger("daemon", "stop")
    assert checks["helper"]["state"] == "ok" and own in checks["helper"]["text"], checks["helper"]


def test_not_in_the_group(make_user):
    expect(make_user("bgt-outside", groups=()), "not in group banger")


def test_a_changed_config_is_found_and_fixed(make_user):
    user = make_user("bgt-config")
    user.banger.ok("daemon", "start")
    pid = user.banger.json("daemon", "status")["pid"]
    user.config("default_cpus = 1\n")
    assert expect(user, "config.toml is newer than the daemon")["fix"] == "banger daemon restart"
    record = doctor(user, "--fix", "--yes")
    assert {"check": "daemon", "command": "banger daemon restart", "done": True, "error": None} in record["fixes"]
    assert {c["name"]: c for c in record["checks"]}["daemon"]["state"] == "ok"
    assert user.banger.json("daemon", "status")["pid"] != pid
    # One that is wrong is nothing for a restart.
    user.config("no_such_key = 1\n")
    assert expect(user, "config.toml is wrong")["fix"] is None
