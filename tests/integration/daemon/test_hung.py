# SPDX-License-Identifier: ISC
"""A daemon of which every process stands still (a frozen machine of another's, a debugger, a disk that does not come back): each command ends
by itself, and says that the daemon does not answer. BANGER_TIMEOUT makes that soon."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import wait_for  # first: it knows where the libraries are

from hostuser import HostUser
from playedhost import Host

LIMIT_S = 120  # far above any deadline of a command, for a machine that is busy with others
ANSWER = r"the daemon (did not answer|took no call) within 3 s"
# What asks no daemon, or works without its answer: its own end is what counts.
ALONE = {
    "daemon socket": "", "daemon install": "", "daemon uninstall": "", "doctor": "", "completion bash": "", "help": "", "version": "",
    "ssh-config": "", "tui": "", "host setup": "", "host remove": "", "host check": ""}
# Commands whose words are not NAME alone.
WORDS = {
    "vm create": "new --image r --no-start", "vm set": "a --cpus 2", "vm rename": "a b", "vm delete": "a --force", "vm prune": "--force", "vm list": "",
    "vm exec": "a -- true", "vm cp": "{home}/file a:/tmp/x", "vm stats": "", "vm connect": "a 22", "vm ssh": "a -- true",
    "vm run": "--name new --image r {home}/repo -- true", "vm workspace prepare": "a {home}/repo", "vm workspace diff": "a {home}/repo",
    "vm workspace pull": "a {home}/repo", "image build": "--name b",
    "image register": "--name s --rootfs {home}/sources/rootfs.ext4 --kernel-ref k", "image pull": "{oci} --name p --kernel-ref k",
    "image prune": "", "image export": "r {home}/out", "image import": "{home}/bundle --name i", "image promote": "r", "image search": "",
    "image list": "", "image show": "r", "image delete": "r", "kernel import": "{home}/sources/vmlinux --name l", "kernel pull": "k2",
    "kernel search": "", "kernel list": "", "kernel show": "k", "kernel delete": "k", "op list": "", "op show": "1", "op cancel": "1",
    "daemon status": "", "daemon start": "", "daemon stop": "", "daemon restart": "", "top": "--once", "web": "--print"}


@pytest.fixture(scope="module")
def host():
    with HostUser("bgt-hung", groups=["banger"], loop_limit_ms=None) as user:
        h = Host(user)
        h.env.update(BANGER_FAKE_BEHAVIOUR="mute-exec")
        try:
            fill(h)
            yield h
        finally:
            h.kill()


def fill(h):
    h.banger("kernel", "import", h.sources + "/vmlinux", "--name", "k")
    h.banger("image", "register", "--name", "r", "--rootfs", h.sources + "/rootfs.ext4", "--kernel-ref", "k")
    h.banger("vm", "create", "a", "--image", "r", "--cpus", "1", "--memory", "128M")
    h.user.run(["sh", "-c", "echo x >file; git init -q repo && cd repo && git -c user.name=x -c user.email=x@x commit -q --allow-empty -m x"],
               cwd=h.user.home, check=True)
    h.banger("image", "export", "r", h.user.home + "/bundle")


def parts(host):
    """Monitor, engine and store; not the VMs."""
    r = subprocess.run(["pgrep", "-u", host.user.name, "-f", "^bangerd: "], capture_output=True, text=True)
    return [int(pid) for pid in r.stdout.split()]


def freeze(host):
    """The monitor first: it would end an engine that hangs."""
    body = host.ask("/v1/daemon")[0]
    for pid in [body["monitor_pid"], *parts(host)]:
        os.kill(pid, signal.SIGSTOP)


def wake(host):
    for pid in parts(host):
        os.kill(pid, signal.SIGCONT)


def begin(host, *words, stdin=subprocess.DEVNULL, **env):
    return host.user.popen([host.programs + "/cli/banger", *words], env={**host.env, **env}, stdin=stdin, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, cwd=host.user.home)


def ends(running):
    """{what: (status, stderr)}: None for what had to be killed."""
    ended, until = {}, time.monotonic() + LIMIT_S
    for what, p in running.items():
        try:
            _, err = p.communicate(timeout=max(0.1, until - time.monotonic()))
            ended[what] = p.returncode, err
        except subprocess.TimeoutExpired:
            p.kill()
            ended[what] = None, p.communicate()[1]
    return ended


def commands(host):
    """{command: its words}; one that is in no table and takes no NAME only has to end."""
    for line in host.banger("help").stdout.splitlines():
        if line.startswith("  ") and line[2:3].islower():
            name = re.match(r"  (vm workspace [a-z]+|[a-z-]+(?: [a-z-]+)?)", line)[1]
            yield name, ALONE.get(name, WORDS.get(name, "a" if " NAME" in line else None))


def words_of(host, name, text):
    text = text or ""
    return name.split() + text.format(home=host.user.home, oci=host.layout).split()


def silent(ended, wanted):
    return {what: end for what, end in ended.items() if end[0] in (None, 0) or not re.search(wanted, end[1])}


def test_what_runs_when_the_daemon_stops_answering_ends_too(host):
    pipe, running = {"stdin": subprocess.PIPE, "BANGER_TIMEOUT": "3"}, {}
    with socket.create_server(("127.0.0.1", 0)) as registry:
        pull = begin(host, "image", "pull", f"127.0.0.1:{registry.getsockname()[1]}/some/image", "--name", "p", "--kernel-ref", "k")
        try:
            wait_for(lambda: busy(host))
            running = {words: begin(host, *words.split(), **pipe) for words in (
                "vm logs -f a", "vm list --watch", "vm exec a -- sleep 600", "vm connect a 22", "vm stats --watch", "daemon stop --wait")}
            wait_for(lambda: len(clients(host)) >= len(running))  # the pull's; stats asks anew each time
            freeze(host)
            ended = ends(running)
        finally:
            wake(host)
            for p in [pull, *running.values()]:
                p.kill()
                p.communicate()
            for op in busy(host):
                host.banger("op", "cancel", op["id"])
    assert silent(ended, ANSWER) == {}


def test_what_is_silent_and_lives_goes_on(host):
    """The daemon is asked, and answers: a stream of which nothing comes is not ended."""
    p = begin(host, "vm", "exec", "a", "--", "sleep", "600", BANGER_TIMEOUT="1")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            p.wait(4)
    finally:
        p.kill()
        p.communicate()


def test_a_store_that_stands_still_is_replaced_and_what_waits_for_it_goes_on(host):
    store = host.ask("/v1/daemon")[0]["store"]["pid"]
    os.kill(store, signal.SIGSTOP)
    p = begin(host, "vm", "set", "a", "--label", "while=stopped")
    try:
        wait_for(lambda: "does not answer" in host.banger("daemon", "status").stdout)
        _, err = p.communicate(timeout=LIMIT_S)
    finally:
        p.kill()
    after = host.ask("/v1/daemon")[0]["store"]
    assert p.returncode == 0 and after["pid"] != store and after["mode"] == "ok", (err, after)
    os.kill(host.ask("/v1/daemon")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: "while" in host.banger("vm", "show", "a", "--json").stdout)


def test_term_ends_what_works_in_a_frozen_vm(host):
    """The VMM stands still: neither exec nor what runs scripts in the guest may need KILL."""
    vmm = host.ask("/v1/vms/a")[0]["pid"]
    words = ["vm exec a -- true", "vm cp file a:/tmp/x", "vm cp a:/tmp/x back", "vm ports a", "vm workspace prepare a repo",
             "vm workspace diff a repo", "vm workspace pull a repo"]
    before = len(clients(host))
    os.kill(vmm, signal.SIGSTOP)
    running = {}
    try:
        running = {text: begin(host, *text.split(), BANGER_TIMEOUT="600") for text in words}
        wait_for(lambda: len(clients(host)) >= before + len(words))
        assert [text for text, p in running.items() if p.poll() is not None] == []
        for p in running.values():
            p.send_signal(signal.SIGTERM)
        ended = ends(running)
    finally:
        os.kill(vmm, signal.SIGCONT)
        for p in running.values():
            p.kill()
    assert [text for text, (status, _) in ended.items() if status in (0, None)] == [], ended


def test_every_command_ends_and_says_why_and_is_not_begun_behind_its_back(host):
    names = dict(commands(host))
    assert len(names) > 45
    before = host.facts().names()
    freeze(host)
    try:
        ended = ends({name: begin(host, *words_of(host, name, text), BANGER_TIMEOUT="3") for name, text in names.items()})
    finally:
        wake(host)
    assert [name for name, end in ended.items() if end[0] is None] == []
    assert silent({name: end for name, end in ended.items() if name not in ALONE and names[name] is not None}, ANSWER) == {}
    host.banger("vm", "list")
    assert host.facts().names() == before
    wait_for(lambda: "not begun" in host.log())
    assert busy(host) == []


def busy(host):
    return [op for op in host.ask("/v1/operations")[0]["operations"] if op["state"] == "running"]


def clients(host):
    """Connections to the daemon that are up."""
    r = subprocess.run(["ss", "-xH", "state", "connected", "src", host.state + "/run/bangerd.sock"], capture_output=True, text=True)
    return r.stdout.splitlines()
