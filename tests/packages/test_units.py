# SPDX-License-Identifier: ISC
"""`meson install`'s user units under a real systemd (tests/lib/sdmachine.py), without a guest: sound, installed, started by the
socket, taken away. With one: tests/e2e/test_user_unit.py."""
import json
import os

import pytest

import sdmachine

UNITS = ("bangerd.service", "bangerd.socket", "banger-guests.service")


@pytest.fixture(scope="module")
def host(staged, tmp_path_factory):
    reason = sdmachine.why_not()
    if reason:
        pytest.skip(reason)
    top = tmp_path_factory.mktemp("units")
    for path in (top, *top.parents[:2]):
        os.chmod(path, 0o755)
    with sdmachine.Machine(top / "machine", staged / "usr/local", name="units") as machine:
        machine.user("seat")
        yield sdmachine.Seat(machine, "seat")


def test_the_units_are_sound(host):
    paths = " ".join("/usr/local/lib/systemd/user/" + u for u in (*UNITS, "banger-vm@.service"))
    r = host.sh("systemd-analyze --user verify " + paths)
    assert (r.stdout + r.stderr).strip() == ""


def test_install(host):
    assert host.sh("banger daemon status", check=False).returncode == 7
    out = host.sh("banger daemon install").stdout
    assert "Lingering is off" in out
    # What the package or `meson install` brought is used as it is.
    assert not os.path.exists(host.m.root + host.home + "/.config/systemd/user/bangerd.service")
    # With the real logind: where polkit runs it lets a user do this for themselves; without it, only root may, which is said.
    record = json.loads(host.sh("banger doctor --fix --yes --json", check=False).stdout)
    (fix,) = [f for f in record["fixes"] if f["command"] == "loginctl enable-linger"]
    lingers = os.path.exists(host.m.root + "/var/lib/systemd/linger/" + host.name)
    assert fix["done"] == lingers and (lingers or fix["error"]), fix
    logout = next(c for c in record["checks"] if c["name"] == "logout")
    assert logout["state"] == ("ok" if lingers else "warn")
    host.m.run(["loginctl", "enable-linger", host.name])
    assert "Lingering is on" in host.sh("banger daemon install").stdout
    assert host.sh("systemctl --user is-active " + " ".join(UNITS)).stdout.split() == ["active"] * 3
    assert host.sh("systemctl --user show -P StatusText bangerd").stdout.strip() == "serving"


def test_the_socket_starts_it_and_the_unit_is_stopped(host):
    """Nothing that only asks starts it; what needs it does. One that a command had started makes room for the unit."""
    host.sh("systemctl --user stop bangerd.service && ! banger daemon status && banger daemon stop && ! systemctl --user is-active bangerd.service && banger vm list "
            "&& systemctl --user is-active bangerd.service")
    host.sh("systemctl --user stop bangerd.socket bangerd.service && /usr/local/libexec/banger/bangerd && systemctl --user start bangerd.service && banger vm list")
    main = host.user("systemctl --user show -P MainPID bangerd").stdout.strip()
    assert f'"monitor_pid": {main},' in host.user("banger daemon status --json").stdout


def test_one_that_cannot_start_says_why_to_everybody(host):
    """More often than systemd lets a unit fail, and at once once it is put right."""
    host.user("banger daemon stop")
    host.config("nonsense = 1\n")
    for _ in range(8):
        r = host.user("banger vm list", check=False)
        assert r.returncode and "nonsense" in r.stderr, r.stderr
    host.config("")
    host.user("banger vm list")


def test_uninstall(host):
    host.sh("banger daemon uninstall")
    assert host.sh("systemctl --user is-enabled bangerd.socket bangerd.service", check=False).stdout.split() == ["disabled"] * 2
    host.sh("banger vm list && ! systemctl --user is-active bangerd.service && banger daemon stop")  # started by the command, as without systemd


def test_from_a_build_folder(host):
    """The units are written, with its paths and folders, and taken away again; what is another's is not touched."""
    copy = "mkdir -p b/cli b/daemon b/worker b/guest b/launcher && cp /usr/local/bin/banger b/cli/ && cp /usr/local/libexec/banger/bangerd b/daemon/ && " \
           "cp /usr/local/libexec/banger/banger-worker b/worker/ && cp /usr/local/libexec/banger/banger-init b/guest/ && cp /usr/local/libexec/banger/banger-launch b/launcher/; "
    folder = ".config/systemd/user"
    host.sh(copy + f"export XDG_STATE_HOME=$HOME/st; b/cli/banger daemon install && systemctl --user is-active bangerd.service && b/cli/banger daemon status && "
            f"test -S st/banger/run/bangerd.sock && grep -q {host.home}/b/daemon/bangerd {folder}/bangerd.service && grep -q XDG_STATE_HOME={host.home}/st {folder}/bangerd.service "
            f"&& systemd-analyze --user verify {folder}/bangerd.service && b/cli/banger daemon uninstall && test -z \"$(ls {folder}/*.service {folder}/*.socket)\"")
    r = host.sh(f"mkdir -p {folder}; echo mine >{folder}/bangerd.socket; XDG_STATE_HOME=$HOME/st b/cli/banger daemon install", check=False)
    assert r.returncode and "was not written by banger" in r.stderr
    assert host.sh(f"cat {folder}/bangerd.socket; rm {folder}/bangerd.socket").stdout == "mine\n"
