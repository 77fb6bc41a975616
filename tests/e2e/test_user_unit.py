# SPDX-License-Identifier: ISC
"""The daemon as a user unit under a real systemd: a machine in namespaces (tests/lib/sdmachine.py), what `meson install` lays out,
quickstart's image, one real guest for all tests, which come in this order."""
import json
import os
import subprocess
import time

import pytest

import sdmachine
from conftest import BOOT_S, BUILD, as_user


class Host(sdmachine.Seat):
    def show(self, name="web"):
        return json.loads(self.user(f"banger vm show {name} --json").stdout)

    def wait(self, what, seconds=BOOT_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = what()
            if value:
                return value
            time.sleep(0.3)
        raise AssertionError(f"not within {seconds} s\n{self.m.console_text()}\n{self.log()[-4000:]}")


def ask(what):
    return as_user(["sh", "-c", "echo " + what], capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def host(banger, tmp_path_factory):
    reason = sdmachine.why_not()
    if reason:
        pytest.skip(reason)
    top = tmp_path_factory.mktemp("sdm")
    os.chmod(top, 0o755)
    for path in top.parents[:2]:
        os.chmod(path, 0o755)
    staged = top / "staged"
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True, env={**os.environ, "DESTDIR": str(staged)})
    machine = sdmachine.Machine(top / "machine", staged / "usr/local")
    with machine:
        machine.run(["systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/banger-privhelper.conf"], check=False)
        h = Host(machine, ask("$USER"), ask("$HOME"))  # the same path: records name files by it
        os.makedirs(h.state, mode=0o700)
        # The records in the folders are enough for a new database.
        folders = [f"{h.home}/.local/state/banger/{name}" for name in ("blobs", "images", "kernels")]
        subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", *folders, h.state], check=True)
        h.config(f"boot_timeout = {BOOT_S}\n")  # boots take as long as they take
        machine.run(["chown", "-R", f"{h.uid}:{h.uid}", h.home])
        machine.run(["loginctl", "enable-linger", h.name])
        h.sh("banger daemon install")
        yield h
        h.user("banger vm delete --force --all", check=False)


def test_a_guest_with_network_under_the_unit(host):
    """The helper has its capability: a tap is a thing of its."""
    host.user("banger vm create web --no-nat --autostart --restart on-failure", timeout=3 * BOOT_S)
    vm = host.show()
    assert vm["ready"] and vm["address"] and vm["autostart"] and vm["restart"] == "on-failure"
    scope = f"banger-vm-{vm['id'][:12]}-{vm['pid']}.scope"
    host.wait(lambda: "scope of its own" in host.show()["limits"])
    assert f"/user@{host.uid}.service/app.slice/{scope}" in host.m.run(["cat", f"/proc/{vm['pid']}/cgroup"]).stdout
    told = host.user(f"systemctl --user show {scope} -p MemoryHigh -p TasksMax -p CPUWeight -p Before -p Description").stdout
    assert all(word in told for word in ("TasksMax=512", "CPUWeight=50", "banger-guests.service", "Description=VM web of banger")), told
    assert int(told.split("MemoryHigh=")[1].split()[0]) > (vm["memory_mib"] + 500) << 20
    checks = json.loads(host.user("banger doctor --json", check=False).stdout)["checks"]
    assert "scope of its own" in next(c["text"] for c in checks if c["name"] == "limits")
    assert "auto, on-failure" in host.user("banger vm list").stdout


def test_it_outlives_restart_and_stop_of_the_unit(host):
    pid = host.show()["pid"]
    host.user("systemctl --user restart bangerd.service")
    assert host.show()["pid"] == pid
    host.user("systemctl --user stop bangerd.service")
    host.m.run(["kill", "-0", str(pid)])
    # Nothing that only asks starts it; what needs it does, by the socket.
    assert host.user("banger daemon status", check=False).returncode == 7
    assert "not running" in host.user("banger daemon stop").stdout
    assert host.user("systemctl --user is-active bangerd.service", check=False).stdout.strip() == "inactive"
    host.wait(lambda: host.show()["ready"])  # its agent is asked anew by each daemon
    assert host.user("banger vm exec web -- echo here").stdout == "here\n"
    assert host.user("systemctl --user is-active bangerd.service").stdout.strip() == "active"
    assert host.show()["pid"] == pid


def test_a_daemon_that_dies_is_started_again(host):
    pid = host.show()["pid"]
    main = host.user("systemctl --user show -P MainPID bangerd").stdout.strip()
    host.m.run(["kill", "-KILL", main])
    host.wait(lambda: host.user("systemctl --user show -P MainPID -P ActiveState bangerd").stdout.split() not in (["active", main], ["0", "activating"])
              and host.user("systemctl --user is-active bangerd", check=False).stdout.strip() == "active")
    assert host.show()["pid"] == pid


def test_a_vm_as_a_unit(host):
    """Started when it is ready; the stop is a clean one; a crash is its failure."""
    host.user("systemctl --user start banger-vm@web.service", timeout=3 * BOOT_S)
    assert host.user("systemctl --user show -P StatusText banger-vm@web").stdout.strip() == "the VM is ready"
    host.user("systemctl --user restart bangerd.service")  # it follows the next daemon
    host.show()
    assert host.user("systemctl --user is-active banger-vm@web").stdout.strip() == "active"
    host.wait(lambda: host.show()["ready"])
    host.user("banger vm exec web -- sh -c 'echo unsynced >/root/by-unit'")
    host.user("systemctl --user stop banger-vm@web.service")
    assert host.show()["state"] == "stopped" and not host.show()["error"]


def test_a_reboot_with_nobody_logged_in(host):
    """The guest was shut down cleanly with its session, and is up again by itself: autostart, lingering. What was stopped by
    hand starts only with a new boot, which this machine does not have of its own: so it is started first."""
    host.user("banger vm start web && banger vm exec web -- sh -c 'echo unsynced >/root/file'", timeout=3 * BOOT_S)
    host.m.shutdown()
    assert "the session ends: VMs are shut down" in host.log()
    host.m.boot()
    assert host.m.run(["loginctl", "list-sessions", "--no-legend"]).stdout.strip() == ""
    host.wait(lambda: host.user("test -S .local/state/banger/run/bangerd.sock && systemctl --user is-active bangerd", check=False).returncode == 0)
    host.wait(lambda: host.show()["ready"])
    assert host.user("banger vm exec web -- cat /root/file /root/by-unit").stdout == "unsynced\nunsynced\n"


def test_the_last_logout_without_lingering(host):
    host.m.run(["loginctl", "disable-linger", host.name])
    pid = host.show()["pid"]
    host.m.run(["systemctl", "stop", f"user@{host.uid}.service"], timeout=3 * BOOT_S)
    assert host.m.run(["kill", "-0", str(pid)], check=False).returncode != 0
    assert host.log().count("the session ends: VMs are shut down") == 2
    # The next login starts it again: no user had stopped it.
    host.sh("banger vm show web --json | grep -q '\"autostart\": true' && banger vm start web && banger vm stop web", timeout=3 * BOOT_S)
