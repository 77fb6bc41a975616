# SPDX-License-Identifier: ISC
"""bangerd's processes: start, double start, deaths of each part, stop, rights, memory."""
import glob
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import zlib

import pytest

from conftest import alive, wait_for


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def status(pid, field):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()


def title(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().rstrip(b"\0").decode()


def test_it_starts_and_answers(daemon):
    p = daemon.start_ok()
    body = daemon.call()["body"]
    assert body["monitor_pid"] == p.pid
    assert body["socket"] == daemon.socket
    assert title(p.pid) == "bangerd: monitor"
    assert title(body["pid"]) == "bangerd: engine"


def test_its_files_are_private(daemon):
    daemon.start_ok()
    assert mode(daemon.socket) == 0o600
    assert mode(daemon.run) == 0o700
    assert mode(daemon.state) == 0o700
    assert mode(daemon.state + "/bangerd.log") == 0o600
    assert [mode(path) for path in databases(daemon)] == [0o600]


def test_the_engine_is_sealed_and_the_monitor_is_not(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    assert status(engine, "NoNewPrivs") == "1"
    assert status(engine, "Seccomp") == "2"
    assert int(status(engine, "CapEff"), 16) == 0
    assert int(status(engine, "CapPrm"), 16) == 0
    assert status(p.pid, "NoNewPrivs") == "0"


def test_root_is_refused(daemon):
    r = subprocess.run([daemon.exe, "--foreground"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2
    assert "does not run as root" in r.stderr and "hint: " in r.stderr


def test_a_second_one_is_refused(daemon):
    daemon.start_ok()
    first = daemon.engine()
    line, p = daemon.start()
    err = json.loads(line)["error"]
    assert err["code"] == "daemon.running" and f"process {daemon.started[0].pid}" in err["message"]
    assert p.wait(60) == 4
    assert daemon.engine() == first


def test_a_stale_socket_is_replaced(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    os.kill(engine, signal.SIGSTOP)  # both at once: nothing can be cleaned up
    p.kill()
    os.kill(engine, signal.SIGKILL)
    p.wait(60)
    wait_for(lambda: not alive(engine))
    assert os.path.exists(daemon.socket)
    daemon.start_ok()
    assert daemon.engine() != engine


def test_a_killed_engine_is_replaced_and_no_call_is_lost(daemon):
    p = daemon.start_ok()
    for _ in range(3):
        old = daemon.engine()
        os.kill(old, signal.SIGKILL)
        answer = daemon.call()  # connects while no engine is there, or to a dying one
        if answer is None:
            answer = daemon.call()
        assert answer["status"] == 200
        wait_for(lambda: daemon.engine() != old)
        assert p.poll() is None
    wait_for(lambda: "is started again" in daemon.log_text())  # the log is another process's to write


def test_a_call_made_between_two_engines_waits(daemon):
    daemon.start_ok()
    old = daemon.engine()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old))
    assert daemon.call()["body"]["pid"] != old


def test_the_engine_ends_with_its_monitor(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    p.kill()
    p.wait(60)
    wait_for(lambda: not alive(engine))
    daemon.start_ok()
    assert daemon.engine() != engine


def test_a_new_one_waits_for_an_engine_that_is_still_ending(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    os.kill(engine, signal.SIGSTOP)
    p.kill()
    p.wait(60)
    assert alive(engine)  # it holds the lock
    r = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -CONT {engine}"])
    daemon.start_ok()
    assert r.wait(60) == 0
    assert not alive(engine)


def test_an_engine_that_hangs_without_its_monitor_is_ended(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    os.kill(engine, signal.SIGSTOP)
    p.kill()
    p.wait(60)
    daemon.start_ok()  # it waits some seconds for the lock first
    assert not alive(engine) and daemon.engine() != engine


def test_an_engine_that_hangs_is_replaced(daemon):
    """A call made meanwhile gets its answer, or an end that says to ask again, in less than a client waits."""
    p = daemon.start_ok()
    engine = daemon.engine()
    os.kill(engine, signal.SIGSTOP)
    daemon.call()
    assert daemon.call()["body"]["pid"] != engine
    assert not alive(engine) and p.poll() is None
    wait_for(lambda: "the engine hangs" in daemon.log_text())


def test_the_socket_is_made_again(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    os.unlink(daemon.socket)
    wait_for(lambda: os.path.exists(daemon.socket))
    assert daemon.engine() == engine  # the same one serves it
    shutil.rmtree(daemon.run)
    wait_for(lambda: os.path.exists(daemon.socket))
    assert mode(daemon.run) == 0o700 and mode(daemon.socket) == 0o600
    assert daemon.engine() == engine
    os.kill(engine, signal.SIGKILL)  # the next engine gets the new one as well
    wait_for(lambda: not alive(engine))
    assert daemon.call()["body"]["monitor_pid"] == p.pid


def test_the_runtime_folder_may_go(daemon):
    """A logout without lingering removes it, a login makes it anew."""
    daemon.start_ok()
    engine = daemon.engine()
    shutil.rmtree(daemon.user.runtime)
    assert daemon.engine() == engine
    _, p = daemon.start()
    assert p.wait(60) == 4


def other_home(daemon):
    home = daemon.user.home + "/other"
    if not os.path.exists(home):
        os.mkdir(home, 0o700)
        os.chown(home, daemon.user.uid, daemon.user.gid)
    return {**daemon.env, "HOME": home, "XDG_RUNTIME_DIR": home}


def start_other(daemon, text):
    daemon.env, own = other_home(daemon), daemon.env
    line, p = daemon.start()
    daemon.env = own
    err = json.loads(line)["error"]
    assert err["code"] == "daemon.running" and daemon.state in err["message"] and text in err["message"], err
    assert p.wait(60) == 4


def test_another_home_of_the_same_user_is_refused(daemon):
    daemon.start_ok()
    start_other(daemon, "bangerd runs already")
    daemon.started[0].terminate()
    daemon.started[0].wait(60)
    vm = "0123456789abcdef" * 2
    folder = f"{daemon.state}/vms/{vm}"
    os.makedirs(folder)
    sockets = f"{daemon.state}/run/vm/{vm[:12]}"
    os.makedirs(sockets)
    # what others see of its VMM: its name, and a socket
    vmm = daemon.user.popen(["/usr/bin/python3", "-c", "import socket, sys, time; s = socket.socket(socket.AF_UNIX); "
                             "s.bind(sys.argv[1]); s.listen(); time.sleep(600)", f"{sockets}/agent.sock",
                             "-name", f"banger-{vm}"], env=daemon.env)
    subprocess.run(["chown", "-R", daemon.user.name, daemon.state], check=True)
    try:
        wait_for(lambda: os.path.exists(f"{sockets}/agent.sock"))
        start_other(daemon, "VMs of this user run")
        daemon.start_ok()  # it is not a stranger in its own folder
    finally:
        vmm.kill()
        vmm.wait()


def test_sigterm_stops_it_and_takes_the_socket_away(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    p.terminate()
    assert p.wait(60) == 0
    assert not os.path.exists(daemon.socket)
    assert not alive(engine)


# The first process of a pid namespace: it starts bangerd, and ends the session as systemd does, everything at the same time.
INIT = """
import glob, json, os, signal, subprocess, sys
exe, uid, env = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
r, w = os.pipe()
p = subprocess.Popen([exe, "--ready-fd", str(w)], pass_fds=[w], env=env, user=uid, group=uid, extra_groups=[], cwd="/")
os.close(w)
assert os.fdopen(r).read() == "ok\\n"
for path in glob.glob("/proc/[0-9]*/comm"):
    try:
        if open(path).read().startswith("bangerd-"):
            for signo in (signal.SIGTERM, signal.SIGHUP):
                os.kill(int(path.split("/")[2]), signo)
    except (FileNotFoundError, ProcessLookupError):
        pass  # the part has ended, as others before it were told to
sys.exit(p.wait(60))
"""


def test_the_end_of_the_session_is_told_from_the_end_of_the_daemon(daemon):
    r = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "/usr/bin/python3", "-c", INIT, daemon.exe,
                        str(daemon.user.uid), json.dumps(daemon.env)], capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r
    assert "the session ends: VMs are shut down" in daemon.log_text()
    os.unlink(daemon.state + "/bangerd.log")
    p = daemon.start_ok()
    p.terminate()
    assert p.wait(60) == 0
    assert "the session ends" not in daemon.log_text()


def test_long_logs_become_the_last_one(daemon):
    p = daemon.start_ok()
    os.truncate(daemon.state + "/worker.log", 9 << 20)
    os.truncate(daemon.state + "/bangerd.log", 9 << 20)
    os.kill(daemon.call()["body"]["store"]["pid"], signal.SIGKILL)  # which the engine has a word to say about
    wait_for(lambda: os.path.exists(f"{daemon.state}/bangerd.log.1"))
    assert os.path.getsize(f"{daemon.state}/bangerd.log") < 1 << 20
    p.terminate()  # both processes write to the new one
    p.wait(60)
    assert '"source":"monitor"' in daemon.log_text() and '"source":"store"' in daemon.log_text()
    daemon.start_ok()
    wait_for(lambda: os.path.exists(f"{daemon.state}/worker.log.1"))
    assert os.path.getsize(f"{daemon.state}/worker.log") < 1 << 20


def log_writer(daemon):
    """Its process, which is the monitor's child and says so."""
    r = subprocess.run(["pgrep", "-u", daemon.user.name, "-f", "^bangerd: log"], capture_output=True, text=True)
    return [int(pid) for pid in r.stdout.split()]


def test_a_log_whose_disk_does_not_answer_stops_neither_the_engine_nor_the_monitor(daemon):
    p = daemon.start_ok()
    pid = daemon.engine()
    [writer] = log_writer(daemon)
    os.kill(writer, signal.SIGSTOP)  # as one that waits for its disk
    try:
        os.kill(daemon.call()["body"]["store"]["pid"], signal.SIGKILL)
        wait_for(lambda: daemon.call()["body"]["store"]["mode"] == "ok")
        assert daemon.engine() == pid and "it is started again" not in daemon.log_text()
    finally:
        os.kill(writer, signal.SIGCONT)
    wait_for(lambda: "the store process ended: it is started again" in daemon.log_text())
    os.kill(writer, signal.SIGKILL)
    wait_for(lambda: log_writer(daemon) not in ([], [writer]))
    wait_for(lambda: "the process that writes this log died" in daemon.log_text())
    os.kill(pid, signal.SIGKILL)  # what it said last is there all the same, and its successor has the same pipe
    wait_for(lambda: "killed by signal 9" in daemon.log_text())
    assert daemon.engine() != pid
    p.terminate()
    p.wait(60)
    assert log_writer(daemon) == []
    assert "stopping; VMs keep running" in daemon.log_text()


def test_stop_through_the_api(daemon):
    p = daemon.start_ok()
    assert daemon.call("POST", "/v1/daemon/stop")["status"] == 200
    assert p.wait(60) == 0
    assert not os.path.exists(daemon.socket)


def test_config_errors_name_file_and_line(daemon):
    daemon.config('# mine\nvmm = "qemu"\nvnm = "x"\n')
    line, p = daemon.start()
    err = json.loads(line)["error"]
    assert err["code"] == "config.invalid"
    assert err["message"].endswith('/.config/banger/config.toml:3: there is no key "vnm"')
    assert p.wait(60) == 2
    assert not os.path.exists(daemon.socket)


def test_the_log_level_is_heard(daemon):
    daemon.config('log_level = "debug"\n')
    daemon.start_ok()
    daemon.call("GET", "/nothing")
    wait_for(lambda: any(line["level"] == "debug" and line.get("code") == "request.no_route" for line in daemon.log_lines()))


def databases(daemon):
    return sorted(glob.glob(daemon.state + "/banger.[0-9]*.db"))


def test_the_store_is_a_process_that_ends_with_the_engine(daemon):
    daemon.start_ok()
    monitor = daemon.call()["body"]
    store = daemon.call()["body"]["store"]
    assert store["mode"] == "ok" and store["file"] in databases(daemon)
    assert status(store["pid"], "PPid") == str(monitor["pid"])
    assert status(store["pid"], "NoNewPrivs") == "1" and status(store["pid"], "Seccomp") == "2"
    assert title(store["pid"]) == "bangerd: store"
    assert not [f for f in os.listdir(daemon.state) if f.endswith("-shm")]
    daemon.started[-1].terminate()
    daemon.started[-1].wait(60)
    assert not os.path.exists(f"/proc/{store['pid']}")


def test_a_killed_store_is_started_again(daemon):
    daemon.start_ok()
    old = daemon.call()["body"]["store"]["pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: daemon.call()["body"]["store"]["pid"] not in (0, old))
    assert daemon.call()["body"]["store"]["mode"] == "ok"


def set_format(path, version):
    """The mark of a complete database, as a banger of that format writes it."""
    db = sqlite3.connect(path)
    tab, key, text = "ledger", "complete", str(version)
    crc = zlib.crc32(tab.encode() + b"\0" + key.encode() + b"\0" + bytes(8) + text.encode())
    db.execute("UPDATE row SET text = ?, crc = ? WHERE tab = ? AND key = ?", (text, crc, tab, key))
    db.commit()
    db.close()


def stored(daemon):
    """What a start may not touch, with its content."""
    found = {}
    for top, folders, files in os.walk(daemon.state):
        folders[:] = [f for f in folders if f != "run"]
        for name in files:
            if not name.startswith(("bangerd.", "worker.log", "start-error")) and not name.endswith("-wal"):
                with open(os.path.join(top, name), "rb") as f:
                    found[os.path.relpath(os.path.join(top, name), daemon.state)] = zlib.crc32(f.read())
    return found


def test_a_downgrade_is_refused_in_words_and_touches_nothing(daemon):
    """Of docs/troubleshooting.md: "a database of a newer banger"."""
    daemon.start_ok().terminate()
    daemon.started[-1].wait(60)
    (path,) = databases(daemon)
    set_format(path, 99)
    before = stored(daemon)
    for args in (("daemon", "start"), ("vm", "list"), ("doctor",)):
        r = daemon.banger(*args)
        words = " ".join((r.stdout + r.stderr).split())
        assert r.returncode == (5 if args == ("doctor",) else 7), r
        assert "was written by a newer banger: its format is 99" in words and "reads 1" in words, r
        assert "install that banger again" in words and "set-aside" in words, r
    assert stored(daemon) == before and databases(daemon) == [path]
    error = json.loads(daemon.banger("daemon", "status", "--json").stdout)["start_error"]
    assert error["code"] == "store.newer"
    # The newer one comes back (which here means its mark), and finds its own.
    set_format(path, 1)
    daemon.start_ok().terminate()
    daemon.started[-1].wait(60)
    assert databases(daemon) == [path]
    # Or the user types what the hint says: that file stays, and this banger begins with the records.
    set_format(path, 99)
    daemon.user.run(["sh", "-c", error["hint"].split("`")[1]], check=True)
    daemon.start_ok()
    store = daemon.call()["body"]["store"]
    assert os.path.exists(daemon.state + "/set-aside/" + os.path.basename(path)) and store["mode"] == "ok"


def test_without_a_ready_fd_errors_are_words(daemon):
    daemon.config("vmm = 3\n")
    for args in ([], ["--foreground"]):
        r = daemon.user.run([daemon.exe] + args, env=daemon.env, capture_output=True, text=True)
        assert r.returncode == 2
        assert "config.toml:1: vmm is to be" in r.stderr, args


def test_into_the_background(daemon):
    r = daemon.user.run([daemon.exe], env=daemon.env, capture_output=True, text=True)
    assert (r.returncode, r.stderr) == (0, "")
    monitor = daemon.call()["body"]["monitor_pid"]
    assert status(monitor, "PPid") != str(os.getpid())
    os.kill(monitor, signal.SIGTERM)
    wait_for(lambda: not alive(monitor))


def test_bad_arguments(daemon):
    for args in (["--nonsense"], ["--ready-fd"], ["--ready-fd", "1"], ["--ready-fd", "77"], ["--engine"]):
        r = daemon.user.run([daemon.exe] + args, env=daemon.env, capture_output=True, text=True)
        assert r.returncode == 2 and "usage:" in r.stderr, args


HELPER = """#!/usr/bin/python3
import os, socket, sys
fds = sorted(int(f) for f in os.listdir("/proc/self/fd"))
with open("{0}", "a") as f:
    f.write("start %d %s\\n" % (os.getpid(), fds))
s = socket.socket(fileno=3)
while s.recv(65536):  # HELLO comes, and is not answered
    pass
with open("{0}", "a") as f:
    f.write("end %d\\n" % os.getpid())
"""


def test_each_engine_gets_a_helper_of_its_own(daemon):
    says = daemon.user.home + "/says"
    path = daemon.user.home + "/helper"
    with open(path, "w") as f:
        f.write(HELPER.format(says))
    os.chmod(path, 0o755)
    daemon.env["BANGER_PRIVHELPER"] = path

    def lines():
        try:
            with open(says) as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    p = daemon.start_ok()
    wait_for(lambda: len(lines()) == 1)
    # 0, 1, 2, the socket; 4 is listdir's own
    assert lines()[0].endswith("[0, 1, 2, 3, 4]")
    os.kill(daemon.engine(), signal.SIGKILL)
    wait_for(lambda: len(lines()) == 3)
    first = lines()[0].split()[1]
    assert f"end {first}" in lines()
    assert wait_for(lambda: not alive(first)) and not os.path.exists(f"/proc/{first}")  # reaped
    p.terminate()
    p.wait(60)
    wait_for(lambda: len(lines()) == 4)


def rss_kib(pid):
    return int(status(pid, "VmRSS").split()[0])


def test_it_is_small(daemon):
    p = daemon.start_ok()
    engine = daemon.engine()
    if "libasan" in open(f"/proc/{engine}/maps").read() or rss_kib(p.pid) > 40000:
        pytest.skip("a sanitized build has shadow memory: the plain one is measured")
    print(f"monitor {rss_kib(p.pid)} KiB, engine {rss_kib(engine)} KiB")
    assert rss_kib(p.pid) < 6 * 1024
    assert rss_kib(engine) < 12 * 1024
