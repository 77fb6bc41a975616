# SPDX-License-Identifier: ISC
"""The packages in a clean Debian with a real systemd: installed, upgraded under running VMs, removed, purged. Minutes: only in
`check packages`."""
import json
import os
import re
import subprocess

import pytest

import sdmachine
from conftest import SOURCE, run

NAMES = ("banger", "banger-privhelper", "banger-privhelper-disk")
# What the packages need, so that dpkg alone installs them: the machine has no network.
NEEDS = ("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "init", "libcap2-bin", "procps", "iproute2", "nftables", "openssh-client",
         "libevent-core-2.1-7", "libevent-extra-2.1-7", "libjansson4", "libsqlite3-0", "libcap-ng0", "libseccomp2", "libarchive13", "libcurl4", "libssl3", "libext2fs2", "libcom-err2",
         "libsodium23", "qemu-system-x86", "e2fsprogs", "passwd", "dmsetup", "polkitd")
# Of systemd, the package manager and time, not of ours.
NOISE = re.compile(r"^(/var/(log|cache|lib/(dpkg|apt|systemd|polkit-1|dbus))|/etc/(ld\.so\.cache|machine-id|\.pwd\.lock|subuid|subgid|"
                   r"(passwd|group|shadow|gshadow)-?$)|/var/lib/ucf|/var/tmp|/var/backups)")


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    """Two versions: the built one, and the same as the next."""
    out = os.environ.get("BANGER_DEBS")
    if not out:
        out = str(tmp_path_factory.mktemp("deb"))
        run(os.path.join(SOURCE, "scripts/make-deb"), out)
    now = {f.split("_")[0]: os.path.join(out, f) for f in os.listdir(out) if f.endswith(".deb") and f.split("_")[0] in NAMES}
    next_ = {}
    for name in NAMES:
        tree = tmp_path_factory.mktemp("next") / name
        run("dpkg-deb", "-R", now[name], str(tree))
        control = tree / "DEBIAN/control"
        text = control.read_text()
        version = re.search(r"^Version: (.*)$", text, re.M).group(1)
        control.write_text(text.replace(version, version + "+next"))
        next_[name] = str(tree) + ".deb"
        run("dpkg-deb", "--root-owner-group", "-b", str(tree), next_[name])
    return now, next_


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    reason = sdmachine.why_not()
    if reason:
        pytest.skip(reason)
    root = os.environ.get("BANGER_DEBIAN_ROOT")
    if not root:
        root = str(tmp_path_factory.mktemp("debian") / "root")
        run("mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--skip=check/qemu", "--include=" + ",".join(NEEDS), "bookworm", root)
    for path in (os.path.dirname(root), os.path.dirname(os.path.dirname(root))):
        os.chmod(path, 0o755)
    with sdmachine.Machine(root, name="deb") as m:
        yield m


def snapshot(m):
    """All that a package could leave: files with owner, mode, capability; users and groups; links, rules, units."""
    files = m.run(["find", "/etc", "/usr", "/var", "/lib/udev", "/dev/banger", "-xdev", "-printf", "%p %u:%g %m %l\n"], check=False).stdout.splitlines()
    state = {"files": sorted(line for line in files if not NOISE.match(line)), "caps": m.run(["getcap", "-r", "/usr"]).stdout,
             "groups": sorted(m.run(["getent", "group"]).stdout.splitlines()), "users": sorted(m.run(["getent", "passwd"]).stdout.splitlines()),
             "links": m.run(["ip", "-br", "link"]).stdout, "rules": m.run(["nft", "list", "ruleset"]).stdout,
             "units": m.run(["systemctl", "list-unit-files", "--no-legend", "banger*"], check=False).stdout}
    return state


def differences(a, b):
    found = []
    for key in a:
        one, two = (set(x if isinstance(x, list) else x.splitlines()) for x in (a[key], b[key]))
        found += [f"{key} gone: {line}" for line in sorted(one - two)] + [f"{key} new: {line}" for line in sorted(two - one)]
    return found


def put_in(m, packages):
    for path in packages.values():
        subprocess.run(["cp", path, m.root + "/root/"], check=True)
    names = ["/root/" + os.path.basename(p) for p in packages.values()]
    return m.run(["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i", *names], timeout=600).stdout


def boot_kernel():
    """quickstart's: root can read it."""
    r = run(os.path.join(SOURCE, "scripts/as-user"), "banger", "kernel", "show", "debian", "--json", ok=False)
    if r.returncode:
        pytest.skip("there is no kernel \"debian\": run scripts/quickstart first")
    return json.loads(r.stdout)["path"]


@pytest.fixture(scope="module")
def life(host, debs):
    """Once through it all; the tests look at what was seen."""
    m, seen = host, {}
    now, next_ = debs
    m.user("dev")
    seen["before"] = snapshot(m)
    seen["words"] = put_in(m, now)
    seen["installed"] = m.run(["sh", "-c", "stat -c '%n %U:%G %a' /usr/libexec/banger/priv /usr/libexec/banger/priv/* /var/lib/banger /var/lib/banger/net.ledger /etc/banger/privhelper.conf; "
                               "getcap /usr/libexec/banger/priv/*; ls /etc/systemd/user/*/ 2>/dev/null; systemctl is-active banger-keeper"], check=False).stdout
    m.run(["usermod", "-aG", "banger", "dev"])
    # Two VMs whose guest is not the point: a kernel and an empty disk; their VMMs and taps are real.
    kernel = boot_kernel()
    subprocess.run(["cp", kernel, m.root + "/home/dev/vmlinuz"], check=True)
    m.run(["chown", "dev", "/home/dev/vmlinuz"])
    m.run(["loginctl", "enable-linger", "dev"])
    sh(m, "mkdir -p .config/banger tree; echo 'boot_timeout = 5' >.config/banger/config.toml; /usr/sbin/mkfs.ext4 -q -d tree root.img 32M; "
          "banger daemon install; banger kernel import vmlinuz --name k; banger image register --name i --rootfs $HOME/root.img --kernel-ref k")
    for name in ("one", "two"):
        sh(m, f"banger vm create {name} --image i --memory 128M --no-nat", check=False)
    seen["vms"] = vms(m)
    put_in(m, next_)
    seen["upgraded vms"] = vms(m)
    seen["upgraded"] = m.run(["sh", "-c", "getcap /usr/libexec/banger/priv/*; dpkg-query -W -f '${Version} ' banger banger-privhelper"]).stdout
    sh(m, "banger daemon restart")
    seen["adopted"] = vms(m)
    seen["down"] = put_in(m, now)
    sh(m, "banger daemon restart")
    seen["downgraded vms"] = vms(m)
    seen["remove"] = m.run(["dpkg", "--remove", *reversed(NAMES)], timeout=600).stdout
    seen["processes"] = m.run(["pgrep", "-a", "qemu|banger"], check=False).stdout
    m.run(["dpkg", "--purge", *reversed(NAMES)], timeout=600)
    seen["home"] = os.path.exists(m.root + "/home/dev/.local/state/banger/vms")
    m.run(["systemctl", "daemon-reload"])
    seen["after"] = snapshot(m)
    return seen


def sh(m, text, check=True):
    return m.login("dev", ["bash", "-c", text], check=check, timeout=600).stdout


def vms(m):
    return {vm["name"]: vm["pid"] for vm in json.loads(sh(m, "banger vm list --json")) if vm["state"] == "running"}


def test_rights(life):
    text = life["installed"]
    for line in ("/usr/libexec/banger/priv root:banger 750", "/usr/libexec/banger/priv/banger-privhelper root:banger-ledger 2755",
                 "/usr/libexec/banger/priv/banger-privhelper cap_net_admin=p", "/usr/libexec/banger/priv/banger-privhelper-disk root:banger-disk 2755",
                 "/var/lib/banger root:banger 755", "/var/lib/banger/net.ledger root:banger-ledger 660", "/etc/banger/privhelper.conf root:root 644"):
        assert line in text, text
    assert text.splitlines()[-1] == "active"  # the keeper
    assert "bangerd" not in text  # enabled for nobody


def test_says_how_a_user_gets_in(life):
    assert "usermod -aG banger USER" in life["words"]


def test_an_upgrade_disturbs_no_vm(life):
    assert set(life["vms"]) == {"one", "two"}, life["vms"]
    assert life["upgraded vms"] == life["vms"] and life["adopted"] == life["vms"]
    assert "cap_net_admin=p" in life["upgraded"] and life["upgraded"].count("+next") == 2


def test_an_older_version_of_the_same_format_takes_them_over(life):
    assert "downgrading" in life["down"] or life["downgraded vms"] == life["vms"]
    assert life["downgraded vms"] == life["vms"]


def test_removal_ends_what_runs(life):
    assert life["processes"] == ""


def test_after_a_purge_the_host_is_as_before(life):
    assert differences(life["before"], life["after"]) == []
    assert life["home"]  # what users have is theirs
