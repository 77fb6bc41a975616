# SPDX-License-Identifier: ISC
"""Real guests: made, used over ssh, stopped and started, adopted, deleted without a trace."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from conftest import as_user, own_taps, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import openapi  # noqa: E402


def ssh(banger, name, *command):
    return banger.ok("vm", "ssh", name, "--", *command).out


def taps(banger):
    """How many taps this user has, once those of the pool are all there."""
    wait_for(lambda: (t := banger.json("daemon", "status")["taps"])["ready"] == t["size"], 20)
    return len(own_taps(int(as_user(["id", "-u"], capture_output=True, text=True).stdout)))


def alive(pid):
    """Not gone and no zombie: an adopted process is reaped by whoever is the machine's init, in its own time."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_hello_of_quickstart_runs(banger):
    record = banger.json("vm", "show", "hello")
    assert record["state"] == "running" and record["ready"]
    assert ssh(banger, "hello", "uname", "-n") == "hello\n"


def test_files_are_kept_over_stop_and_start(banger, vm):
    ssh(banger, vm, "echo one > /root/work-disk; echo two > /etc/root-disk; sync")
    first = banger.json("vm", "show", vm)
    banger.ok("vm", "stop", vm)
    stopped = banger.json("vm", "show", vm)
    assert stopped["state"] == "stopped" and stopped["address"] is None and stopped["error"] is None
    assert not alive(first["pid"])
    assert "Failed unmounting" not in banger.ok("vm", "logs", vm, "--boot").out
    banger.ok("vm", "start", vm)
    assert ssh(banger, vm, "cat", "/root/work-disk", "/etc/root-disk") == "one\ntwo\n"


def test_guest_is_what_was_asked_for(banger):
    name = "t-sizes"
    banger("vm", "delete", name)
    banger.ok("vm", "create", name, "--cpus", "1", "--memory", "512M", "--disk-size", "3G", "--work-size", "2G")
    try:
        assert ssh(banger, name, "nproc") == "1\n"
        assert int(ssh(banger, name, "awk '/MemTotal/{print int($2/1024)}' /proc/meminfo")) in range(400, 513)
        root, work = ssh(banger, name, "df -BM --output=size / /root | tail -n +2").split()
        assert int(root[:-1]) in range(2700, 3073) and int(work[:-1]) in range(1800, 2049)
        assert ssh(banger, name, "hostname") == name + "\n"
        assert ssh(banger, name, "findmnt -no FSTYPE /root") == "ext4\n"
        assert ssh(banger, name, "stat -c %a /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key") == "600\n600\n"
        assert ssh(banger, name, "modprobe overlay && grep -c overlay /proc/filesystems") == "1\n"
        assert ssh(banger, name, "systemctl is-system-running --wait || systemctl --failed --no-legend") == "running\n"
    finally:
        banger("vm", "delete", name)


def test_ssh_passes_status_and_streams(banger, vm):
    result = banger("vm", "ssh", vm, "--", "echo out; echo err >&2; exit 7")
    assert (result.status, result.out, result.err) == (7, "out\n", "err\n"), result


def test_restart_is_a_new_boot(banger, vm):
    before = ssh(banger, vm, "cat /proc/sys/kernel/random/boot_id")
    banger.ok("vm", "restart", vm)
    assert ssh(banger, vm, "cat /proc/sys/kernel/random/boot_id") != before


def test_poweroff_in_the_guest_stops_the_vm(banger, vm):
    banger("vm", "ssh", vm, "--", "systemctl poweroff")
    wait_for(lambda: banger.json("vm", "show", vm)["state"] == "stopped")
    assert banger.json("vm", "show", vm)["error"] is None


def test_reboot_in_the_guest_comes_back(banger, vm):
    before = ssh(banger, vm, "cat /proc/sys/kernel/random/boot_id")
    banger("vm", "ssh", vm, "--", "systemctl reboot")
    wait_for(lambda: not banger.json("vm", "show", vm)["ready"])
    wait_for(lambda: banger.json("vm", "show", vm)["ready"])
    assert ssh(banger, vm, "cat /proc/sys/kernel/random/boot_id") != before


def test_adopted_after_kill_9_of_the_daemon(banger, vm):
    before = banger.json("vm", "show", vm)
    status = banger.json("daemon", "status")
    for pid in (status["monitor_pid"], status["pid"]):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(status["pid"]), 10)
    assert alive(before["pid"])
    after = banger.json("vm", "show", vm)
    assert (after["state"], after["pid"], after["address"]) == ("running", before["pid"], before["address"])
    wait_for(lambda: banger.json("vm", "show", vm)["ready"], 30)
    assert ssh(banger, vm, "echo", "here") == "here\n"
    banger.ok("vm", "stop", vm)
    assert not alive(before["pid"])


def test_engine_killed_alone_comes_back(banger, vm):
    before = banger.json("vm", "show", vm)
    status = banger.json("daemon", "status")
    os.kill(status["pid"], signal.SIGKILL)
    after = wait_for(lambda: banger.json("vm", "show", vm), 30)
    assert after["pid"] == before["pid"]
    assert banger.json("daemon", "status")["monitor_pid"] == status["monitor_pid"]


def test_killed_vmm_is_told(banger, vm):
    os.kill(banger.json("vm", "show", vm)["pid"], signal.SIGKILL)
    record = wait_for(lambda: (r := banger.json("vm", "show", vm))["state"] == "stopped" and r, 20)
    assert record["error"]["code"] == "vmm.died"
    assert "banger vm logs" in record["error"]["hint"]
    banger.ok("vm", "start", vm)


def test_delete_leaves_nothing(banger):
    name = "t-trace"
    banger("vm", "delete", name)
    home = as_user(["sh", "-c", "echo ~"], capture_output=True, text=True).stdout.strip()
    places = [home, "/run/user/" + as_user(["id", "-u"], capture_output=True, text=True).stdout.strip()]

    def traces():
        found = set()
        for place in places:
            for folder, dirs, files in os.walk(place + "/banger" if "run" in place else place):
                found |= {os.path.join(folder, n) for n in dirs + files if not n.endswith(("-wal", "-shm"))}
        return found

    before, taps_before = traces(), taps(banger)
    banger.ok("vm", "create", name)
    record = banger.json("vm", "show", name)
    assert traces() - before
    banger.ok("vm", "delete", name)
    left = []
    try:
        wait_for(lambda: not (left.append(traces() - before) or left[-1]), 30)  # its disks go in pieces
    except AssertionError:
        pytest.fail(f"left behind: {left[-1]}")
    assert taps(banger) == taps_before
    assert not alive(record["pid"])
    assert record["id"] not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    status = banger.json("daemon", "status")
    held = [v for v in banger.json("vm", "list") if v["name"] == name]
    assert not held and status["helper"]["ok"]
    wait_for(lambda: name not in pathlib.Path(home, ".config/banger/ssh/known_hosts").read_text(), 30)  # written beside the operation


def test_create_cancelled_by_ctrl_c_leaves_nothing(banger):
    name = "t-cancel"
    banger("vm", "delete", name)
    before = taps(banger)
    here = os.path.dirname(os.path.abspath(__file__))
    p = subprocess.Popen([os.path.join(here, "../../scripts/as-user"), os.path.join(here, "../../build/cli/banger"),
                          "vm", "create", name], stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if "starting the VMM" in line or "waiting" in line:
            break
    p.send_signal(signal.SIGINT)
    p.stderr.read()
    assert p.wait(60) == 130
    assert name not in [v["name"] for v in banger.json("vm", "list")]
    assert taps(banger) == before


def test_several_at_once_and_one_that_is_not_there(banger, vm):
    result = banger("vm", "stop", vm, "t-nobody")
    assert result.status == 3 and "t-nobody" in result.err, result
    assert banger.json("vm", "show", vm)["state"] == "stopped"


def api(banger, path):
    socket = banger.ok("daemon", "socket").out.strip()
    here = os.path.dirname(os.path.abspath(__file__))
    out = as_user(["python3", os.path.join(here, "../lib/unixhttp.py"), socket, "GET", path],
                  capture_output=True, text=True).stdout
    return json.loads(out)["body"]


def test_records_are_as_the_api_describes_them(banger, vm):
    spec = api(banger, "/v1/openapi.json")
    for path in ("/v1/vms", "/v1/vms?brief=1", "/v1/images", "/v1/kernels", "/v1/operations", "/v1/usage", "/v1/daemon"):
        schema = openapi.reply(spec, "GET", path.partition("?")[0])
        assert openapi.check(spec, schema, api(banger, path)) == [], path
    for path in (f"/v1/vms/{vm}", f"/v1/vms/{vm}/usage"):
        schema = openapi.reply(spec, "GET", path.replace(vm, "{name}"))
        assert openapi.check(spec, schema, api(banger, path)) == [], path
    assert len([v for v in api(banger, "/v1/vms")["vms"] if v["name"] == vm and "ssh" in v]) == 1


def test_usage_of_host_and_guest(banger, vm):
    usage = api(banger, f"/v1/vms/{vm}/usage")
    assert usage["name"] == vm and usage["cpu_seconds"] > 0 and usage["memory_bytes"] > 32 << 20
    assert usage["guest"]["memory_total_kib"] > 200_000 and usage["guest"]["uptime_s"] > 0

    def again():  # a share of a processor is of the time between two looks, and two in a row are none
        [record] = [u for u in api(banger, "/v1/usage")["vms"] if u["name"] == vm]
        return record["cpu_percent"] is not None and record
    assert "guest" not in wait_for(again)


def test_logs(banger, vm):
    assert "banger-init" in banger.ok("vm", "logs", vm).out
    path = banger.json("vm", "show", vm)["paths"]["serial_log"]
    with open(path) as f:
        assert "banger-init" in f.read()


def test_events_and_json_agree(banger, vm):
    assert api(banger, "/v1/vms/" + vm)["id"] == banger.json("vm", "show", vm)["id"]
