# SPDX-License-Identifier: ISC
"""What a user sees and does, by keys typed into a real terminal."""
import contextlib
import os
import pty
import re
import signal
import time

import pytest

from conftest import BANGER, BUILD
from world import World, ident, image, running, stage, vm

MIB = 1 << 20


def row(screen, name):
    """The row of the list with this name."""
    return next((line for line in screen.text().split("\n") if re.match(rf"^[> ][+ ]. {re.escape(name)} ", line)), "")


def test_a_life(world, tui):
    """Create by the form with completion, stop, start, kill, delete."""
    world.fill()
    screen = tui()
    screen.wait_for(r"1 VMs 7")
    screen.keys("c")
    screen.wait_for("create a VM")
    screen.keys("C-u", "demo", "Tab", "debian-", "Tab", "C-u", "4")
    screen.wait_for("banger vm create demo --image debian-docker --cpus 4")
    screen.keys("Enter")
    screen.wait_for(r"^[> ] \* demo +running")
    body = world.asked("POST", "/v1/vms")[0]
    assert (body["name"], body["image"], body["cpus"], body["memory_mib"], body["start"]) == ("demo", "debian-docker", 4, 2048, True)
    screen.keys("/", "demo", "Enter")
    screen.wait_for("1 of 8 shown")
    screen.keys("S")
    screen.wait_for(r"^> \. demo +stopped")
    screen.keys("u")
    screen.wait_for(r"^> \* demo +running")
    screen.keys("K", "Enter")
    assert "nothing was done" in screen.wait_for("nothing was done") and not world.asked("POST", "/v1/vms/demo/kill")
    screen.keys("K")
    screen.wait_for("Kill 1 VM")
    screen.keys("y")
    screen.wait_for(r"^> \. demo +stopped")
    screen.keys("D")
    screen.wait_for("There is no undo")
    screen.keys("y")
    screen.wait_for("1 VMs 7")
    screen.wait_for("Nothing matches the filter")
    screen.keys("Escape")
    screen.wait_for(r"^[> ] \* web ")
    screen.keys("q")
    screen.wait_for("^ended 0")


def test_an_image_out_of_a_file_and_a_new_name(home, world, tui):
    """Import with a file's name completed, names that would do something to a terminal shown as text; rename; `?` has the keys."""
    world.fill()
    files = [("bundles", "folder", 0), ("bad\x1b]0;pwned\x07\x1b[2J", "file", 1), ("base.tar.zst", "file", 1)]
    world.on("GET", "/v1/files", lambda c: c.json({"path": str(home.path), "parent": None, "left_out": 0, "more": False,
                                                    "entries": [{"name": n, "kind": k, "size": s} for n, k, s in files]}))
    world.on("POST", "/v1/images/import", lambda c: c.json({"operation": world.begin("image.import", "base")}, 202))
    screen = tui()
    screen.wait_for("1 VMs 7")
    screen.keys("2", "i")
    screen.wait_for("import an image")
    screen.keys("~/ba")
    text = screen.wait_for(r"bad\^\[\]0;pwned")
    assert "base.tar.zst" in text and "import an image" in text
    screen.keys("s", "Tab")
    screen.wait_for("banger image import .*/base.tar.zst")
    screen.keys("Enter")
    screen.wait_for("import .*base.tar.zst: asked for")
    assert world.asked("POST", "/v1/images/import")[0] == {"from": f"{home.path}/base.tar.zst"}
    screen.keys("1", "n")
    screen.wait_for("rename > api")
    screen.keys("C-u", "site", "Enter")
    screen.wait_for(r"^[> ][+ ]. site ")
    assert world.asked("POST", "/v1/vms/api/set") == [{"name": "site"}]
    for view, words in (("1", ["give it another name"]), ("2", ["out of a bundle", "to one file", "where it lies", "copy a registered one"]), ("3", ["out of a package"])):
        for word in words:
            screen.keys(view, "?", word)
            screen.wait_for(r"[│|] *[a-z] +.*" + word)
            screen.keys("Escape")
            screen.wait_for("find:", gone=True)


def test_several_at_once(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"1 VMs 7")
    screen.keys("Space", "j", "Space")  # api and ci-runner: Space goes on by itself
    screen.wait_for("2 marked")
    screen.keys("D")
    screen.wait_for("Delete 2 VMs")
    screen.keys("1", "Enter", "BSpace", "2")
    assert len(world.vms) == 7
    screen.keys("Enter")
    screen.wait_for("1 VMs 5")
    assert "api" not in world.vms and "ci-runner" not in world.vms
    screen.keys("*", "S")
    screen.wait_for("Stop [0-9] VMs")
    screen.keys("Escape")
    screen.wait_for("nothing was done")
    screen.keys("Escape")
    screen.wait_for("marked", gone=True)


def test_the_cursor_stays_with_its_vm(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"1 VMs 7")
    screen.keys("j", "j", "j")
    screen.wait_for(r"^> \* db ")
    world.vms["aaa"] = vm("aaa", id=ident(90))
    world.tell("vm", world.vms["aaa"])
    screen.wait_for("1 VMs 8")
    assert row(screen, "db").startswith(">")
    world.send({"type": "vm", "action": "deleted", "name": "db", "record": None})
    screen.wait_for("1 VMs 7")
    assert row(screen, "db-copy").startswith(">"), "the row that took its place"


def test_the_daemon_goes_and_comes_back(home, world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"^[> ] \* web ")
    world.stop()
    screen.wait_for("bangerd does not answer; trying again")
    assert row(screen, "web"), "what was known stays"
    screen.keys("S")
    screen.wait_for("bangerd does not answer; it is being tried again")
    with World(home.socket, home.uid) as again:
        again.fill([running("other", id=ident(50))])
        screen.wait_for(r"^[> ] \* other ")
        assert not row(screen, "web")
        assert "does not answer" not in screen.wait_for("1 VMs 1")
    screen.wait_for("does not answer")
    screen.keys("C-c")
    screen.wait_for("^ended 0")


def test_a_daemon_that_hangs_does_not_hang_it(world, tui):
    world.on("GET", "/v1/events", lambda conn: time.sleep(20))
    screen = tui()
    screen.wait_for("waiting for bangerd")
    screen.keys("?")
    screen.wait_for("the next line")
    screen.keys("C-c")
    screen.wait_for("^ended 0")


def test_it_starts_the_daemon(home, tui):
    """With nothing on the socket `banger daemon start` is run; what that says when it fails is shown."""
    fake = home.program("bin/banger", "#!/bin/sh\necho \"$@\" >>~/asked\necho 'banger: the config file is broken' >&2\nexit 7\n")
    screen = tui(command=f"{BUILD}/tui/banger-tui --banger {fake}")
    screen.wait_for("the config file is broken")
    with open(f"{home.path}/asked") as f:
        assert f.read() == "daemon start\n"
    with World(home.socket, home.uid) as world:
        world.fill()
        screen.wait_for("1 VMs 7")


def test_resize(world, tui):
    world.fill()
    screen = tui(80, 24)
    screen.wait_for(r"1 VMs 7")
    assert "what happened" not in screen.text()
    screen.resize(160, 50)
    screen.wait_for("what happened")
    screen.resize(200, 24)
    assert "IMAGE" in screen.wait_for("IMAGE +UP")
    screen.resize(40, 8)
    screen.wait_for("IMAGE", gone=True)
    screen.resize(20, 5)
    screen.wait_for("too small")
    screen.keys("D", "y")
    screen.resize(80, 24)
    screen.wait_for(r"^> \* api ")
    assert len(world.vms) == 7


@pytest.mark.parametrize("term, env", [("vt100", {}), ("screen", {}), ("tmux-256color", {"NO_COLOR": "1"}), ("linux", {"LC_ALL": "C"}),
                                       ("no-such-terminal", {})])
def test_terminals(world, tui, term, env):
    """Nothing is lost without colours, or without characters beyond ASCII."""
    world.fill()
    screen = tui(80, 24, command=f"TERM={term} {BANGER} tui", **env)
    text = screen.wait_for(r"^> \* api +running")
    assert "! bad-image" in text and "~ db-copy" in text and "5 Doctor" in text
    colours = re.findall(r"\x1b\[[0-9;]*m", screen.text("-e"))
    coloured = any(re.search(r"[\[;]3[1-7][;m]", c) for c in colours)
    assert coloured == (term in ("screen", "linux", "no-such-terminal") and "NO_COLOR" not in env), colours
    assert ("\u2500" in text) == (env.get("LC_ALL") != "C")
    screen.keys("q")
    screen.wait_for("^ended 0")


def test_what_a_guest_says_is_shown_not_obeyed(world, tui):
    evil = "\x1b[2J\x1b]0;pwned\x07\u202eevil"
    world.fill([running("web", id=ident(1), labels={"x": evil}, image=evil), vm("bad", id=ident(2), error={"code": "x", "message": evil, "hint": evil, "exit": 1})],
               [image("debian", os=evil, source=evil)])
    world.logs["web"] = ["one", "\x1b[31mred\x1b[0m \x1b[2Jcleared \x9b2J", "\x1b]52;c;ZXZpbA==\x07clip", "three " + "long " * 60 + "end"]
    screen = tui(160, 24)
    screen.wait_for("1 VMs 2")
    assert "?evil" in screen.wait_for(r"\^\[\[2J")
    screen.keys("G", "l")
    text = screen.wait_for("three")
    assert "one" in text and "red cleared" in text and "clip" in text
    assert "\x1b]" not in screen.text("-e")


def test_logs(world, tui):
    world.fill()
    world.logs["api"] = [f"line {i} of the console{' ERROR' if i % 50 == 0 else ''}" for i in range(300)]
    screen = tui()
    screen.wait_for(r"^> \* api ")
    screen.keys("l")
    screen.wait_for("line 299")
    world.log("and one more")
    screen.wait_for("and one more")
    screen.keys("k", "k")
    screen.wait_for("and one more", gone=True)
    world.log("unseen")
    screen.wait_for("paused: 1 new lines below")
    screen.keys("/", "error", "Enter")
    screen.wait_for("line 250 of the console ERROR")
    screen.keys("N")
    screen.wait_for("line 200 of the console ERROR")
    screen.keys("g")
    screen.wait_for("line 0 of")
    screen.keys("f")
    screen.wait_for("unseen")
    screen.keys("Tab")
    screen.wait_for("of the VMM")
    assert any("log=vmm" in r[2] for r in world.requests if r[1] == "/v1/vms/api/logs")
    screen.keys("q")
    screen.wait_for("1 VMs 7")


def test_operations_are_seen_and_cancelled(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"1 VMs 7")
    screen.keys("2")
    screen.wait_for(r"\[2 Images 2\]")
    screen.keys("c", "alpine:3.20", "Tab", "alpine", "Enter")
    screen.wait_for("pull alpine:3.20: asked for")
    assert world.asked("POST", "/v1/images/pull")[0] == {"ref": "alpine:3.20", "name": "alpine"}
    op = list(world.ops.values())[-1]
    op["stages"] = [stage("fetch", "fetch 3 layers", 900, "running")]
    op["progress"] = {"done": 50, "total": 200, "unit": "MiB", "text": "at 9 MiB/s"}
    world.tell("operation", op)
    screen.keys("4")
    screen.wait_for(r"^> ~ image.pull +alpine +running +fetch 3 layers")
    screen.wait_for(r"50 of 200 MiB")
    screen.keys("X")
    screen.wait_for("Cancel 1 operation")
    screen.keys("y")
    screen.wait_for(r"^> - image.pull +alpine +cancelled")
    assert world.asked("DELETE", f"/v1/operations/{op['id']}")


def test_a_refusal_is_told(world, tui):
    world.fill()
    world.refuse["api", "stop"] = "the VM is busy with an export"
    screen = tui()
    screen.wait_for(r"^> \* api ")
    screen.keys("S")
    screen.wait_for("stop api: the VM is busy with an export; a hint")


def test_ssh_has_the_terminal_and_gives_it_back(home, world, tui):
    fake = home.program("bin/banger", "#!/bin/sh\necho \"asked: $*\"; stty -a | grep -c -- ' icanon'; read line; echo \"got $line\"; [ \"$line\" != bad ]\n")
    world.fill()
    screen = tui(command=f"{BUILD}/tui/banger-tui --banger {fake}")
    screen.wait_for(r"^> \* api ")
    screen.keys("s")
    text = screen.wait_for("asked: vm ssh api\n1")
    world.set_vm("api", state="stopped", ready=False)
    screen.resize(100, 30)
    screen.keys("fine", "Enter")
    screen.wait_for("banger vm ssh api has ended")
    screen.wait_for(r"^> \. api +stopped")
    screen.keys("j", "j", "e")
    screen.wait_for("run a command > ci-runner")
    screen.keys("uname -a", "Enter")
    screen.wait_for("asked: vm exec --tty ci-runner -- uname -a")
    screen.keys("bad", "Enter")
    screen.wait_for("it ended with status 1|ended with status 1")
    screen.keys("Enter")
    screen.wait_for(r"^> \* ci-runner")
    screen.keys("s")
    screen.wait_for("asked: vm ssh ci-runner\n1")
    screen.keys("C-c")  # ends the program, not the UI
    screen.wait_for(r"status 130|^> \* ci-runner")
    screen.keys("Enter")
    screen.wait_for(r"^> \* ci-runner")
    assert text


def test_it_is_suspended_and_comes_back(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"^> \* api ")
    screen.keys("C-z")
    screen.wait_for("^ended 148|Stopped")
    world.set_vm("api", state="stopped", ready=False)
    screen.type("clear; fg")
    screen.wait_for(r"^> \. api +stopped")
    screen.keys("q")
    screen.wait_for(r"^ended 0|^\$$")


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGABRT])
def test_a_signal_leaves_a_usable_terminal(home, world, tui, signo):
    world.fill()
    screen = tui()
    screen.wait_for(r"^> \* api ")
    before = screen.text
    os.kill(home.process(), signo)
    screen.wait_for(f"^ended {128 + signo}")
    screen.type("clear; stty -a | grep -c -- ' icanon.* echo ' ; stty -a | grep -o -- ' icanon'")
    screen.wait_for(" icanon")
    assert before


def test_a_closed_terminal_ends_it(home, world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"^> \* api ")
    pid = home.process()
    screen.tmux("kill-session", "-t", "s")
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}")


def test_pasted_text_is_no_keys(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"^> \* api ")
    screen.tmux("set-buffer", "D1\ny")
    screen.tmux("paste-buffer", "-p", "-t", "s")
    screen.wait_for("what was pasted is dropped")
    screen.keys("c", "C-u")
    screen.tmux("set-buffer", "pasted-name")
    screen.tmux("paste-buffer", "-p", "-t", "s")
    screen.wait_for("banger vm create pasted-name")
    assert len(world.vms) == 7


def test_the_mouse(world, tui):
    world.fill()
    screen = tui()
    screen.wait_for(r"^> \* api ")
    click = "\x1b[M" + chr(32) + chr(33 + 5) + chr(33 + 7)  # X10: button 0, column 5, row 7
    sgr = "\x1b[<0;6;8M\x1b[<0;6;8m"
    screen.keys(sgr if "1006" in os.popen("infocmp -x tmux-256color 2>/dev/null").read() else click)
    screen.wait_for(r"^> \* db ")


def test_doctor(home, world, tui):
    fake = home.program("bin/banger", """#!/bin/sh
echo '{"ok": false, "checks": [{"name": "kvm", "state": "warn", "text": "KVM is missing", "hint": null},
 {"name": "helper", "state": "fail", "text": "not installed", "hint": "sudo scripts/install-helper"}]}'
exit 5
""")
    world.fill()
    screen = tui(command=f"{BUILD}/tui/banger-tui --banger {fake}")
    screen.wait_for(r"^> \* api ")
    screen.keys("5")
    screen.wait_for("5 Doctor fails")
    screen.keys("j")
    screen.wait_for("fix +sudo scripts/install-helper")


def test_a_diff(home, world, tui):
    fake = home.program("bin/banger", "#!/bin/sh\necho \"asked: $*\"\nprintf -- '--- a/x\\n+++ b/x\\n\\033[32m+new line\\033[0m\\n'\n")
    world.fill()
    screen = tui(command=f"{BUILD}/tui/banger-tui --banger {fake}")
    screen.wait_for(r"^> \* api ")
    screen.keys("w")
    text = screen.wait_for(r"^\+new line")
    assert "asked: vm workspace diff api" in text and "P brings these changes" in text


def numbers(screen):
    text = screen.wait_for("rss_kib=")
    return {k: int(v) for k, v in re.findall(r"(rss_kib|cpu_ms|voluntary)=(\d+)", text)}


def switches(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M).group(1))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))


@pytest.fixture
def say(capsys):
    """Figures are shown by the check, too."""
    def show(text):
        with capsys.disabled():
            print(f"\n  tui: {text}", flush=True)
    return show


def test_the_first_frame(home, world, say):
    """Printed, not asserted: from before the fork to the last byte of the first frame, which waits for no daemon."""
    world.fill()
    env = {**home.env, "TERM": "xterm-256color"}
    took = []
    for _ in range(10):
        began = time.monotonic()
        pid, terminal = pty.fork()
        if pid == 0:
            if home.uid is not None:
                os.setgid(home.uid)
                os.setuid(home.uid)
            os.execve(f"{BUILD}/tui/banger-tui", ["banger-tui", "--banger", BANGER], env)
        seen = b""
        while b"quit" not in seen:  # the last hint
            seen += os.read(terminal, 65536)
        took.append(1000 * (time.monotonic() - began))
        os.write(terminal, b"q")
        with contextlib.suppress(OSError):  # its end closes the terminal
            while os.read(terminal, 65536):
                pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(terminal)
    say(f"first frame: median {sorted(took)[5]:.1f} ms, least {min(took):.1f} ms")


def test_idle_it_sleeps(home, world, tui, say):
    """Stopped VMs change nothing by themselves: no timer runs at all."""
    world.fill([vm("a", id=ident(1)), vm("b", id=ident(2))])
    screen = tui()
    screen.wait_for(r"^> \. a ")
    pid = home.process()
    seen = None
    while seen != (seen := switches(pid)):  # what the start began has ended
        time.sleep(0.5)
    began = cpu_ticks(pid)
    time.sleep(3)
    say(f"idle for 3 s: {switches(pid) - seen} switches, {cpu_ticks(pid) - began} ticks of CPU")
    assert switches(pid) == seen


def test_a_hundred_vms_and_fifty_events_a_second(home, world, tui, say):
    """It keeps up, draws at most 25 times a second, and stays small."""
    world.fill([running(f"vm-{i:03}", f"10.209.0.{i + 1}", id=ident(i)) for i in range(100)])
    world.load = {name: (5.0, 300 * MIB, 1000 * MIB) for name in world.vms}
    sanitized = "ASAN_OPTIONS" in os.environ
    screen = tui(160, 50, command=f"{BUILD}/tui/banger-tui --banger {BANGER} --numbers --idle-fd 9 9>{home.path}/frames")
    screen.wait_for(r"1 VMs 100")
    began = time.monotonic()
    for i in range(200):
        time.sleep(max(0, began + i * 0.02 - time.monotonic()))
        world.load[f"vm-{i % 100:03}"] = (float(i % 100), 300 * MIB, 1000 * MIB)
        if i % 10 == 0:
            world.usage()
        else:
            world.set_vm(f"vm-{i % 100:03}", ready=i % 3 != 0)
    world.set_vm("vm-000", state="stopped", ready=False)
    took = time.monotonic() - began
    screen.wait_for(r"^> \. vm-000 +stopped")
    frames = os.path.getsize(f"{home.path}/frames")
    screen.keys("q")
    used = numbers(screen)
    say(f"100 VMs, 200 events in {took:.1f} s: {frames} frames, {used['cpu_ms']} ms of CPU, {used['rss_kib']} KiB")
    assert frames < 26 * took + 15
    assert sanitized or used["rss_kib"] < 8 * 1024


def test_a_long_log_stays_in_bounds(home, world, tui, say):
    world.fill([running(f"vm-{i:03}", id=ident(i)) for i in range(200)])
    world.logs["vm-000"] = [f"{i:06} " + "x" * 500 for i in range(10000)]
    screen = tui(command=f"{BUILD}/tui/banger-tui --banger {BANGER} --numbers")
    screen.wait_for(r"1 VMs 200")
    screen.keys("l")
    screen.wait_for("009999 x")
    screen.keys("C-c")
    used = numbers(screen)
    say(f"200 VMs and a log of 5 MB: {used['cpu_ms']} ms of CPU, {used['rss_kib']} KiB")
    assert "ASAN_OPTIONS" in os.environ or used["rss_kib"] < 8 * 1024
