# SPDX-License-Identifier: ISC
"""`meson install`: everything is there, and what is installed needs nothing of the checkout."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, SOURCE, run
from hostuser import HostUser

FILES = {
    "bin/banger", "libexec/banger/bangerd", "libexec/banger/banger-worker", "libexec/banger/banger-init", "libexec/banger/banger-launch", "libexec/banger/banger-tui",
    "libexec/banger/priv/banger-privhelper", "libexec/banger/priv/banger-privhelper-disk", "libexec/banger/priv/banger-keeper", "libexec/banger/install-helper",
    "lib/systemd/user/bangerd.service", "lib/sysusers.d/banger-privhelper.conf", "lib/tmpfiles.d/banger-privhelper-disk.conf",
    "lib/udev/rules.d/12-banger.rules", "share/bash-completion/completions/banger", "share/zsh/site-functions/_banger",
    "share/fish/vendor_completions.d/banger.fish", "share/doc/banger/LICENSE", "share/doc/banger/docs/privilege.md",
    "share/man/man1/banger.1", "share/man/man1/banger-vm.1", "share/man/man1/banger-tui.1", "share/man/man5/banger.toml.5", "share/man/man5/privhelper.conf.5",
    "share/man/man8/bangerd.8", "share/man/man8/banger-privhelper.8"}


def installed(staged):
    top = staged / "usr/local"
    return {os.path.relpath(os.path.join(d, f), top) for d, _, files in os.walk(staged) for f in files}


def test_all_is_there_and_only_below_the_prefix(staged):
    names = installed(staged)
    assert names >= FILES, FILES - names
    assert not [n for n in names if n.startswith("..")]
    for page in os.listdir(os.path.join(SOURCE, "docs")):
        assert not page.endswith(".md") or f"share/doc/banger/docs/{page}" in names, page


def test_no_file_knows_the_checkout(staged):
    """No path of the build in any program, unit or script."""
    for name in installed(staged):
        data = (staged / "usr/local" / name).read_bytes()
        assert SOURCE.encode() + b"/" not in data and BUILD.encode() + b"/" not in data, name


@pytest.fixture
def hidden(staged):
    """Runs a command as a user on this machine, where the prefix is ours and the checkout is not there."""
    with HostUser("bgt-inst") as user:
        def go(*argv, ok=True):
            script = f'mount --make-rprivate / && mount --bind {staged}/usr/local /usr/local && mount -t tmpfs -o mode=755 none {SOURCE} && exec "$@"'
            env = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={user.home}", f"XDG_RUNTIME_DIR={user.home}/run", "LC_ALL=C.UTF-8"]
            return run("unshare", "-m", "sh", "-c", script, "-", "setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups", "--",
                       *env, *argv, ok=ok, cwd="/")
        os.makedirs(user.home + "/run", exist_ok=True)
        os.chown(user.home + "/run", user.uid, user.gid)
        yield go
        go("banger", "daemon", "stop", ok=False)
        subprocess.run(["pkill", "-KILL", "-u", user.name])


def test_it_needs_nothing_of_the_checkout(hidden):
    version = json.loads(hidden("banger", "version", "--json").stdout)
    assert version["version"] and version["state_format"] >= 1 and len(version["helper_protocol"]) == 16
    assert hidden("banger", "image", "list").returncode == 0
    status = json.loads(hidden("banger", "daemon", "status", "--json").stdout)
    assert os.path.basename(os.readlink(f"/proc/{status['pid']}/exe").split(" ")[0]) == "bangerd"
    doctor = hidden("banger", "doctor", ok=False)
    assert "scripts/install-helper" not in doctor.stdout + doctor.stderr
    assert hidden("banger", "completion", "bash").stdout == open("/proc/self/root" + BUILD + "/packaging/banger").read()


def test_a_worker_of_the_installed_one(hidden, tmp_path):
    """bangerd finds its worker, and that its libraries."""
    r = hidden("banger", "kernel", "import", "/bin/ls", ok=False)
    assert r.returncode == 2 and "not a kernel" in r.stderr, r.stderr


def test_install_helper_from_where_it_is_installed(staged):
    """In a view of its own: the machine's helper is not touched."""
    script = ('mount --make-rprivate / && mount --bind "$1"/usr/local /usr/local && mount -t tmpfs none "$2" && mount -t tmpfs none /usr/libexec '
              '&& mount -t tmpfs none /var/lib && cd / && { [ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd; } && /usr/local/libexec/banger/install-helper '
              '&& /usr/local/libexec/banger/install-helper '
              '&& cd /usr/libexec/banger && getcap priv/banger-privhelper && stat -c "%U:%G %a" priv priv/banger-privhelper')
    out = run("unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", script, "-", str(staged), SOURCE).stdout.splitlines()
    assert "cap_net_admin" in out[-3] and out[-2:] == ["root:banger 750", "root:banger-ledger 2755"]


def test_the_helper_is_the_same_from_any_folder(tmp_path):
    """A second checkout replaces nothing: the same bytes."""
    made = []
    for name in ("one", "a/longer/name"):
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(SOURCE, source, symlinks=True, ignore=shutil.ignore_patterns("build*", ".git", "corpus", "cache"))
        build = source / "build"
        run("meson", "setup", "-Dtests=false", build, source)
        run("ninja", "-C", build, "privhelper/banger-privhelper", "privhelper/banger-privhelper-disk")
        made.append([(build / "privhelper" / p).read_bytes() for p in ("banger-privhelper", "banger-privhelper-disk")])
    assert made[0] == made[1]
