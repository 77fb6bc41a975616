# SPDX-License-Identifier: ISC
"""vm exec on a real guest: streams apart, statuses, terminal, signals, flow control, many at once."""
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BUILD, ROOT, wait_for

NAME = "t-exec"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def guest(banger):
    banger("vm", "delete", NAME)
    banger.ok("vm", "create", NAME)
    yield Guest(banger)
    banger("vm", "delete", NAME)


class Guest:
    def __init__(self, banger):
        self.banger = banger

    @staticmethod
    def argv(*flags, cmd):
        return [os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "exec", NAME, *flags,
                "--", *cmd]

    def run(self, *cmd, flags=(), data=b"", timeout=120):
        return subprocess.run(self.argv(*flags, cmd=cmd), input=data, capture_output=True, timeout=timeout)

    def popen(self, *cmd, flags=(), **kw):
        return subprocess.Popen(self.argv(*flags, cmd=cmd), **kw)

    def count(self, pattern):
        """Processes in the guest whose command line has the pattern, which must not match itself."""
        done = self.run("sh", "-c", f"pgrep -f '{pattern}' | wc -l")
        return int(done.stdout)


def cli_of(process):
    """Pid of banger itself, below the wrappers that started it."""
    def find():
        pid = process.pid
        while True:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "banger":
                return pid
            children = open(f"/proc/{pid}/task/{pid}/children").read().split()
            if not children:
                return None
            pid = int(children[0])
    return wait_for(find, 20)


def test_streams_and_status(guest):
    done = guest.run("sh", "-c", "cat; echo oops >&2; exit 7", data=b"in\0put\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\0put\n", b"oops\n")


def test_words_arrive_as_they_are(guest):
    words = ["a b", "", "$HOME", "'", "--", "ü"]
    done = guest.run("printf", "[%s]", *words)
    assert done.stdout.decode() == "".join(f"[{w}]" for w in words)


def test_any_bytes_and_long_lists(guest):
    done = guest.run(b"printf", b"[%s]", b"\xff\xfe", b"a", flags=("--env", b"V=\x80"))
    assert done.stdout == b"[\xff\xfe][a]", done.stderr
    assert guest.run("sh", "-c", "printf %s \"$V\"", flags=("--env", b"V=\x80")).stdout == b"\x80"
    words = [str(i) for i in range(20000)]
    assert guest.run("sh", "-c", "echo $# $20000", "_", *words).stdout.split()[0] == b"20000"
    assert guest.run("sh", "-c", "printf %s \"$1\" | wc -c", "_", "x" * 120000).stdout.strip() == b"120000"
    done = guest.run("true", *["x" * 120000] * 16)  # as much as fits here, but not beside the guest's environment
    assert done.returncode in (0, 126) and (done.returncode == 0 or b"Argument list too long" in done.stderr)


@pytest.mark.parametrize("redirection,expect", [("<&-", b"0\n"), (">&-", b""), ("2>&-", b"0\n"), ("<&- >&- 2>&-", b"")])
def test_closed_descriptors(guest, redirection, expect):
    """Nothing that banger opens takes the place of what its caller closed."""
    as_user, *argv = guest.argv(cmd=("sh", "-c", "wc -c; echo e >&2"))
    done = subprocess.run([as_user, "sh", "-c", f'exec "$@" {redirection}', "sh", *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, expect)


def test_term_ends_what_a_frozen_guest_holds(guest):
    pid = guest.banger.json("vm", "show", NAME)["pid"]
    process = guest.popen("sh", "-c", "echo on; sleep 1000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"on\n"
        cli = cli_of(process)
        os.kill(pid, signal.SIGSTOP)
        os.kill(cli, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
        process.kill()
    assert process.returncode == 130 and b"does not answer" in err


def test_a_terminal_alone_is_a_login_shell(guest):
    master, slave = pty.openpty()
    process = subprocess.Popen(guest.argv("--tty", cmd=())[:-1], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.write(master, b"exit 7\n")
    assert process.wait(120) == 7
    os.close(master)


def test_signal_gives_128_and_its_number(guest):
    assert guest.run("sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_login_environment(guest):
    done = guest.run("sh", "-c", "id -un; pwd; echo $HOME $USER $SHELL; umask; cat /proc/self/oom_score_adj; trap")
    assert done.stdout.decode().split("\n")[:5] == ["root", "/root", "/root root /bin/bash", "0022", "0"]
    assert guest.run("sh", "-c", "grep Sig /proc/self/status").stdout.split()[5] == b"0000000000000000"  # SigIgn


def test_user_workdir_env(guest):
    flags = ("--user", "nobody", "--workdir", "/tmp", "--env", "A=1 2", "--env", "PATH=/bin")
    done = guest.run("sh", "-c", "id -un; id -gn; pwd; echo $A:$PATH:$HOME", flags=flags)
    assert done.stdout.decode().split("\n")[:4] == ["nobody", "nogroup", "/tmp", "1 2:/bin:/nonexistent"]


@pytest.mark.parametrize("flags, cmd, status, text", [
    ((), ("no-such-command",), 127, b"no-such-command"),
    ((), ("/etc/passwd",), 126, b"Permission denied"),
    (("--user", "no-such-user"), ("true",), 125, b"there is no user"),
    (("--workdir", "/no/such"), ("true",), 125, b"/no/such"),
])
def test_what_does_not_start(guest, flags, cmd, status, text):
    done = guest.run(*cmd, flags=flags)
    assert done.returncode == status and text in done.stderr, done


def test_timeout_ends_it(guest):
    began = time.monotonic()
    done = guest.run("sh", "-c", "echo begun; sleep 3111", flags=("--timeout", "5"))
    assert done.returncode == 124 and done.stdout == b"begun\n" and b"did not end within 5 s" in done.stderr
    assert time.monotonic() - began < 60
    assert guest.count("sleep 311[1]") == 0


def test_background_process_does_not_hold_it(guest):
    began = time.monotonic()
    done = guest.run("sh", "-c", "sleep 3222 & echo done")
    assert done.stdout == b"done\n" and time.monotonic() - began < 30
    guest.run("pkill", "-f", "sleep 322[2]")


def test_killed_on_the_host_ends_in_the_guest(guest):
    process = guest.popen("sh", "-c", "(trap '' HUP; sleep 3333) & sleep 3333", stdin=subprocess.DEVNULL)
    wait_for(lambda: guest.count("sleep 333[3]") == 3, 60)  # two, and the shell that names them
    os.kill(cli_of(process), signal.SIGKILL)
    process.wait(20)
    wait_for(lambda: guest.count("sleep 333[3]") == 0, 60)


def test_signals_pass_through(guest):
    process = guest.popen("sh", "-c", "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    os.kill(cli_of(process), signal.SIGTERM)
    assert process.stdout.read() == b"got\n"
    assert process.wait(20) == 9


def test_reader_that_left_ends_the_writer(guest):
    done = subprocess.run("%s | head -c 10" % " ".join(guest.argv(cmd=["yes"])), shell=True, capture_output=True,
                          timeout=60)
    assert done.stdout == b"y\n" * 5
    wait_for(lambda: guest.count("^ye[s]") == 0, 60)


def test_terminal(guest):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    process = guest.popen("sh", "-c", "stty size; tty; read x; stty size; echo got $x", flags=("--tty",), stdin=slave,
                          stdout=slave, stderr=slave, preexec_fn=lambda: (os.setsid(), fcntl.ioctl(slave, termios.TIOCSCTTY, 0)))
    seen = read_until(master, b"/dev/pts/")
    assert b"33 101" in seen
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 122, 0, 0))
    os.kill(cli_of(process), signal.SIGWINCH)
    os.write(master, b"word\r")
    seen = read_until(master, b"got word")
    assert b"44 122" in seen
    assert process.wait(20) == 0
    assert termios.tcgetattr(slave)[3] & termios.ECHO  # our terminal is as it was
    os.close(slave)
    os.close(master)


def test_interrupt_key_of_a_terminal(guest):
    master, slave = pty.openpty()
    process = guest.popen("sh", "-c", "echo ready; exec sleep 3444", flags=("-t",), stdin=slave, stdout=slave, stderr=slave)
    read_until(master, b"ready")
    os.write(master, b"\x03")
    assert process.wait(20) == 128 + signal.SIGINT
    os.close(slave)
    os.close(master)


def read_until(fd, text, seconds=60):
    seen, end = b"", time.monotonic() + seconds
    while text not in seen:
        assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], seen
        seen += os.read(fd, 4096)
    return seen


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def test_much_input_arrives_whole_in_bounded_memory(guest):
    """1 GiB on a host that has time for it (BANGER_EXEC_MIB=1024), else a part of it."""
    mib = int(os.environ.get("BANGER_EXEC_MIB", "64"))
    block = os.urandom(MIB)
    digest = hashlib.sha256()
    daemon = guest.banger.json("daemon", "status")["pid"]
    before = rss_kib(daemon)
    process = guest.popen("sha256sum", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    most = 0
    for _i in range(mib):
        digest.update(block)
        process.stdin.write(block)
        most = max(most, rss_kib(daemon))
    process.stdin.close()
    assert process.stdout.read().split()[0].decode() == digest.hexdigest()
    assert process.wait(60) == 0
    agent = int(guest.run("sh", "-c", "awk '/VmRSS/ {print $2}' /proc/$(pgrep -o -f '^@banger-agen[t]')/status").stdout)
    print(f"{mib} MiB: daemon {before} to {most} KiB, agent {agent} KiB")
    assert most - before < 8 * 1024 and agent < 8 * 1024


def test_a_reader_that_stops_stops_the_writer(guest):
    process = guest.popen("sh", "-c", "dd if=/dev/zero bs=64k count=2000 2>/tmp/dd & dd=$!; "
                          "echo $dd >/tmp/dd.pid; wait $dd", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def written():
        out = guest.run("sh", "-c", "awk '/^wchar/ {print $2}' /proc/$(cat /tmp/dd.pid)/io").stdout
        return int(out) if out.strip() else 0

    def stands():
        first = written()
        return first > 0 and written() == first and first
    assert wait_for(stands, 60) < 4 * MIB
    assert len(process.stdout.read()) == 2000 * 64 * 1024
    assert process.wait(60) == 0


def test_thirty_at_once_do_not_disturb_each_other(guest):
    processes = [guest.popen("sh", "-c", f"cat; echo {i} >&2; exit {i}", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for i in range(30)]
    data = [os.urandom(100000 + i) for i in range(30)]
    done = [process.communicate(piece, timeout=200) for process, piece in zip(processes, data)]
    for i, (out, err) in enumerate(done):
        assert (processes[i].returncode, out == data[i], err) == (i, True, b"%d\n" % i)


def test_lost_session_says_so(guest):
    process = guest.popen("sleep", "3555", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: guest.count("sleep 355[5]") == 1, 60)
    guest.banger.ok("vm", "kill", NAME)
    assert b"was lost" in process.stderr.read() and process.wait(20) == 255
    done = guest.run("true")
    assert done.returncode == 4 and b"is stopped" in done.stderr
    guest.banger.ok("vm", "start", NAME)
    assert guest.run("true").returncode == 0
