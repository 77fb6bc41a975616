# SPDX-License-Identifier: ISC
"""The RPMs installed, installed over themselves as an upgrade does, and removed, by rpm in a copy of this machine with a real systemd: files, modes and
capabilities come from rpm, accounts and units from the scriptlets. rpm's names of what is required are a Fedora's, so --nodeps; what
Fedora's own macros make of the scriptlets, and SELinux, are not tried anywhere. Minutes: only in `check packages`."""
import contextlib
import os

import pytest

import sdmachine
from conftest import SOURCE, run
from test_deb_life import differences, snapshot

NAMES = ("banger", "banger-privhelper", "banger-privhelper-disk")


@pytest.fixture(scope="module")
def rpms(tmp_path_factory):
    out = os.environ.get("BANGER_RPMS")
    if not out:
        out = str(tmp_path_factory.mktemp("rpm"))
        run(os.path.join(SOURCE, "scripts/make-rpm"), out)
    found = {f.rsplit("-", 2)[0]: os.path.join(out, f) for f in os.listdir(out) if f.endswith(".rpm")}
    return [found[name] for name in NAMES]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """This machine's own system below a layer in memory, without what is installed of banger, its accounts too."""
    reason = sdmachine.why_not()
    if reason:
        pytest.skip(reason)
    top = tmp_path_factory.mktemp("rpm-host")
    for path in (top, *top.parents[:2]):
        os.chmod(path, 0o755)
    with contextlib.ExitStack() as stack:
        def mount(*words):
            run("mount", *words)
            stack.callback(run, "umount", "-l", words[-1], ok=False)

        mount("-t", "tmpfs", "-o", "mode=755", "none", str(top))
        for name in ("up", "work", "root"):
            os.mkdir(top / name)
        mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={top}/up,workdir={top}/work", str(top / "root"))
        strip(str(top / "root"))
        stack.enter_context(m := sdmachine.Machine(top / "root", name="rpm"))
        yield m


def strip(root):
    """No unit but systemd's own is started; nothing of banger is there."""
    for path in ("var/lib/rpm", "etc/systemd/system", "etc/systemd/user", "home", "tmp", "var/tmp", "usr/libexec/banger", "var/lib/banger", "etc/banger"):
        run("rm", "-rf", os.path.join(root, path))
    for path in ("etc/systemd/system", "etc/systemd/user", "home", "tmp", "var/tmp", "var/lib/rpm", "dev", "run", "proc", "sys"):
        os.makedirs(os.path.join(root, path), exist_ok=True)
    os.symlink("/lib/systemd/system/basic.target", os.path.join(root, "etc/systemd/system/default.target"))
    for command in (["userdel", "banger-keeper"], ["groupdel", "banger"], ["groupdel", "banger-ledger"], ["groupdel", "banger-disk"], ["groupdel", "banger-keeper"]):
        run("chroot", root, *command, ok=False)
    for name in ("fstab", "machine-id"):
        with open(os.path.join(root, "etc", name), "w", encoding="utf-8"):
            pass


def scripts_failed(text):
    """rpm only warns of a scriptlet that fails, and goes on."""
    return [line for line in text.splitlines() if "scriptlet failed" in line or line.startswith("error")]


@pytest.fixture(scope="module")
def life(host, rpms):
    m, seen = host, {"failed": []}
    for path in rpms:
        run("cp", path, m.root + "/root/")
    names = ["/root/" + os.path.basename(p) for p in rpms]

    def rpm(*args):
        r = m.run(["rpm", *args], check=False, timeout=600)
        seen["failed"] += scripts_failed(r.stdout + r.stderr) + ([r.stderr] if r.returncode else [])

    m.run(["rpm", "--initdb"], check=False)
    m.user("dev")
    seen["before"] = snapshot(m)
    rpm("-i", "--nodeps", *names)
    look = ["sh", "-c", "stat -c '%n %U:%G %a' /usr/libexec/banger/priv /usr/libexec/banger/priv/* /var/lib/banger /var/lib/banger/*.ledger /etc/banger/privhelper.conf; "
            "getcap /usr/libexec/banger/priv/*; rpm -Va --nodeps --noscripts 'banger*'"]
    seen["installed"] = m.run(look, check=False).stdout
    m.run(["usermod", "-aG", "banger", "dev"])
    seen["doctor"] = m.login("dev", ["banger", "doctor"], check=False).stdout
    seen["daemon"] = m.login("dev", ["banger", "daemon", "status"], check=False).stdout
    m.login("dev", ["banger", "daemon", "stop"], check=False)
    with open(m.root + "/etc/banger/privhelper.conf", "a", encoding="utf-8") as f:
        f.write("slots_per_user = 8\n")
    rpm("-U", "--nodeps", "--replacepkgs", *names)
    seen["upgraded"] = m.run(look, check=False).stdout
    with open(m.root + "/etc/banger/privhelper.conf", encoding="utf-8") as f:
        seen["conf"] = f.read()
    rpm("-e", "--nodeps", *reversed(NAMES))
    m.run(["systemctl", "daemon-reload"])
    seen["processes"] = m.run(["pgrep", "-a", "banger"], check=False).stdout
    m.run(["rm", "-rf", "/home/dev", "/root/" + os.path.basename(names[0])], check=False)
    seen["after"] = snapshot(m)
    return seen


def test_no_scriptlet_fails(life):
    assert life["failed"] == []


def test_rights(life):
    for line in ("/usr/libexec/banger/priv root:banger 750", "/usr/libexec/banger/priv/banger-privhelper root:banger-ledger 2755",
                 "/usr/libexec/banger/priv/banger-privhelper cap_net_admin=p", "/usr/libexec/banger/priv/banger-privhelper-disk root:banger-disk 2755",
                 "/var/lib/banger root:banger 755", "/var/lib/banger/net.ledger root:banger-ledger 660", "/etc/banger/privhelper.conf root:root 644"):
        assert line in life["installed"], life["installed"]


def test_the_daemon_and_the_helper_work(life):
    assert "ok    daemon" in life["doctor"] and "ok    helper" in life["doctor"], life["doctor"]


def test_an_upgrade_keeps_rights_and_the_administrators_file(life):
    rights = [line for line in life["installed"].splitlines() if line.startswith("/usr/libexec") or line.startswith("/var/lib")]
    assert [line for line in rights if line not in life["upgraded"].splitlines()] == []
    assert "slots_per_user = 8" in life["conf"]


def test_removal_ends_what_runs_and_leaves_accounts_alone(life):
    """Accounts stay, as RPM distributions have it, and so does a configuration that was changed (as .rpmsave) and the ledgers' folder while it is not empty."""
    assert life["processes"] == ""
    left = [d for d in differences(life["before"], life["after"]) if "gone:" not in d]
    allowed = ("groups new: banger", "users new: banger-keeper", "/etc/banger", "/var/lib/banger", "/var/lib/rpm", "/etc/systemd", "/root/",
               "/usr/share/licenses root", "/usr/share/zsh/site-functions root")  # folders that Fedora's filesystem package has
    assert [d for d in left if not any(a in d for a in allowed)] == []
