# SPDX-License-Identifier: ISC
"""vm ssh, with an ssh that writes down how it was called."""
import os
import pwd
import subprocess

import pytest

from fake_daemon import running, vm
from sshconfig import FOR_ALL_HOSTS, REACHED

SSH = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done > "$HOME/ssh-args"
exit 42
"""


@pytest.fixture
def ssh(home, fake):
    home.program("bin/ssh", SSH)
    fake.on("GET", "/v1/vms/web", running("web"))

    def called():
        with open(home.path + "/ssh-args", encoding="utf-8") as file:
            return file.read().split("\n")[:-1]
    return called


def options(words):
    return [words[i + 1] for i, w in enumerate(words) if w == "-o"]


def test_how_ssh_is_called(home, ssh):
    r = home.run("vm", "ssh", "web", "--", "true")
    assert r.status == 42 and r.err == ""
    words = ssh()
    assert {'IdentityFile="/c/ssh/id_ed25519"', 'UserKnownHostsFile="/c/ssh/known_hosts"',
            "HostKeyAlias=web", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes",
            "PasswordAuthentication=no"} <= set(options(words))
    assert "Port=22" in options(words) and words[words.index("-l") + 1] == "root"
    assert words[words.index("--") + 1:] == ["10.209.1.2", "true"]


@pytest.mark.parametrize("command,sent", [
    (["cd /srv && ls | wc -l"], "cd /srv && ls | wc -l"),
    (["ls", "-l", "a b", "it's", "*"], "'ls' '-l' 'a b' 'it'\\''s' '*'")])
def test_commands_arrive_as_typed(home, ssh, command, sent):
    home.run("vm", "ssh", "web", "--", *command)
    assert ssh()[-1] == sent


def test_odd_paths_reach_ssh_whole(home, fake, ssh):
    record = running("web")
    record["ssh"]["key"] = "/a b/100%/key"
    fake.on("GET", "/v1/vms/web", record)
    home.run("vm", "ssh", "web")
    assert 'IdentityFile="/a b/100%%/key"' in options(ssh())


def test_the_real_ssh_understands(home, fake, ssh):
    if not os.access("/usr/bin/ssh", os.X_OK):
        pytest.skip("openssh-client is not installed")
    if os.geteuid() not in (entry.pw_uid for entry in pwd.getpwall()):
        pytest.skip("ssh wants its user to have a name")
    record = running("web")
    record["ssh"]["known_hosts"] = "/a b/100%/known hosts"
    fake.on("GET", "/v1/vms/web", record)
    home.run("vm", "ssh", "web", "--", "true")
    # run by the test: the ordinary user has no name
    r = subprocess.run(["/usr/bin/ssh", "-G", *ssh()], capture_output=True, text=True, check=True)
    seen = r.stdout.lower().splitlines()
    for line in ("hostname 10.209.1.2", "user root", "port 22", "hostkeyalias web",
                 "stricthostkeychecking true", "identitiesonly yes", "passwordauthentication no",
                 "identityfile /c/ssh/id_ed25519", "userknownhostsfile /a b/100%/known hosts"):
        assert line in seen


def test_what_is_said_for_all_hosts_does_not_apply(home, fake, ssh):
    if not os.access("/usr/bin/ssh", os.X_OK):
        pytest.skip("openssh-client is not installed")
    if os.geteuid() not in (entry.pw_uid for entry in pwd.getpwall()):
        pytest.skip("ssh wants its user to have a name")
    with open(home.path + "/for-all", "wb") as file:
        file.write(FOR_ALL_HOSTS)
    home.run("vm", "ssh", "web", "--", "true")
    r = subprocess.run(["/usr/bin/ssh", "-F", home.path + "/for-all", "-G", *ssh()], capture_output=True, text=True,
                       check=True)
    seen = set(r.stdout.splitlines())
    assert set(REACHED) <= seen and {"hostname 10.209.1.2", "hostkeyalias web"} <= seen
    assert not [line for line in seen if line.startswith(("proxycommand", "proxyjump", "localforward"))
                and not line.endswith(" none")] or "clearallforwardings yes" in seen


def test_flags_of_ssh(home, ssh):
    home.run("vm", "ssh", "web", "-A", "-t", "-v", "-L", "8080:localhost:80", "-R", "9:localhost:9", "-o", "ServerAliveInterval=5")
    words = ssh()
    assert words[:3] == ["-A", "-t", "-v"] and words[3:9] == [
        "-L", "8080:localhost:80", "-R", "9:localhost:9", "-o", "ServerAliveInterval=5"]
    assert "ClearAllForwardings=yes" not in words, "it would take those away too"
    home.run("vm", "ssh", "web")
    assert "ClearAllForwardings=yes" in options(ssh()) and "-A" not in ssh()


def test_a_shell_ends_with_a_reminder(home, fake, ssh):
    r = home.run("vm", "ssh", "web")
    assert r.status == 42 and r.err == "web still runs; `banger vm stop web` stops it\n"
    assert ssh()[-1] == "10.209.1.2"


def test_no_reminder_when_it_was_shut_down_inside(home, fake, ssh):
    answers = iter([running("web"), vm("web")])
    fake.on("GET", "/v1/vms/web", lambda c: c.json(next(answers)))
    r = home.run("vm", "ssh", "web")
    assert r.status == 42 and r.err == ""


@pytest.mark.parametrize("record,status,message,hint", [
    (vm("web"), 4, "web is stopped", "`banger vm start web`"),
    (vm("web", state="stopping"), 4, "web is stopping", "`banger vm show web`"),
    (running("web", ready=False), 6, "web runs but is not ready yet", "`banger vm logs web`"),
    (running("web", ssh={"sshd": False}), 4, "web has no ssh server", "banger vm set web --nat"),
    (running("web", ssh={"sshd": False, "setup": None}), 4, "web has no ssh server", "vm exec --tty web"),
    (running("web", ssh={"sshd": False, "setup": "failed"}), 4, "package manager could not bring one in", "`banger vm logs web`"),
    (running("web", ssh={"sshd": False, "setup": "no_manager"}), 4, "nor a package manager that could", "vm exec --tty web"),
    (running("web", ssh={}), 1, "did not say how to reach web", ""),
    (running("web", address="-oProxyCommand=x"), 1, "did not say how to reach web", ""),
])
def test_why_it_cannot_be(home, fake, ssh, record, status, message, hint):
    fake.on("GET", "/v1/vms/web", record)
    r = home.run("vm", "ssh", "web")
    assert r.status == status and message in r.err and hint in r.err


def test_ssh_is_not_installed(home, fake, ssh):
    r = home.run("vm", "ssh", "web", "--", "true", env={"PATH": "/nonexistent"})
    assert r.status == 5 and "run ssh: No such file" in r.err and "openssh-client" in r.err
    r = home.run("vm", "ssh", "web", env={"PATH": "/nonexistent"})
    assert r.status == 5 and "openssh-client" in r.err
