# SPDX-License-Identifier: ISC
"""A checkout brought into a real guest, changed on both sides, brought home; vm run. One VM for all of it, and the VMs that
vm run makes."""
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, as_user, wait_for

VM = "t-workspace"
SUM = "cd %s && find . -path ./.git -prune -o \\( -type f -o -type l \\) -print0 | sort -z | xargs -0 sha256sum"
SETUP = r"""
rm -rf ~/t-site && mkdir ~/t-site && cd ~/t-site
git init -q -b main . && git config user.name A && git config user.email a@b
mkdir -p d/e && echo 1 >a && printf '1\r\n2\r\n' >d/dos.txt && echo x >./-dash && echo n >"$(printf 'new\nline')" && echo u >d/e/ünï
printf '#!/bin/sh\necho ran\n' >run && chmod 755 run && ln -s d/e/ünï link && head -c 300000 /dev/urandom >bin
git add -A && git commit -q -m base && echo 2 >a && echo s >staged && git add staged && echo not >untracked
"""


def sh(script, **more):
    done = as_user(["bash", "-ec", script], capture_output=True, text=True, **more)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def state_of_checkout():
    return sh("cd ~/t-site && find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -printf '%p %m %l\\n' | sort")


def guest(banger, script):
    return banger.ok("vm", "exec", VM, "--", "sh", "-c", script).out


@pytest.fixture(scope="module")
def site(banger):
    banger("vm", "delete", VM)
    banger.ok("vm", "create", VM)
    sh(SETUP)
    yield sh("echo -n ~/t-site")
    banger("vm", "delete", VM)
    sh("rm -rf ~/t-site")


def prepare(banger, site, *flags):
    before = state_of_checkout()
    record = banger.json("vm", "workspace", "prepare", VM, site, *flags)
    assert state_of_checkout() == before, "the checkout was touched"
    return record


def test_there_and_again(banger, site):
    record = prepare(banger, site)
    assert len(record["sent"]) == 9 and record["git"]
    there = guest(banger, SUM % "/root/repo")
    assert there == sh(SUM % site + " | grep -v untracked")
    assert guest(banger, "cd repo && ./run && git status --porcelain && git log --format=%s") == "ran\n M a\nA  staged\nbase\n"
    sh("cd ~/t-site && echo 3 >a && rm d/e/ünï && chmod 644 run")
    record = prepare(banger, site)
    assert sorted(record["sent"]) == ["a", "run"] and record["deleted"] == ["d/e/ünï"]
    assert guest(banger, "cat repo/a; ls repo/d; stat -c %a repo/run") == "3\ndos.txt\n644\n"
    assert prepare(banger, site)["sent"] == []


def test_both_changed(banger, site):
    prepare(banger, site)
    guest(banger, "echo guest >repo/a; echo guest >repo/mine")
    sh("echo host >~/t-site/a")
    banger.fails(4, "as well as here: a", "vm", "workspace", "prepare", VM, site)
    assert guest(banger, "cat repo/a") == "guest\n"
    prepare(banger, site, "--force")
    assert guest(banger, "cat repo/a repo/mine; rm repo/mine") == "host\nguest\n"


def test_diff_and_pull(banger, site):
    prepare(banger, site)
    guest(banger, "cd repo && echo more >>d/dos.txt && git add d && git commit -q -m 'in the guest' && echo w >work")
    before = state_of_checkout()
    patch = banger.ok("vm", "workspace", "diff", VM, site).out
    assert "+more" in patch and "+++ b/work" in patch and "staged" not in patch
    assert state_of_checkout() == before
    record = banger.json("vm", "workspace", "pull", VM, site)
    assert record["commits"] == 1 and record["branch"] == "banger/" + VM
    assert sh(f"cd ~/t-site && git log --format=%s banger/{VM}") == "in the guest\nbase\n"
    now = state_of_checkout().splitlines()
    new = [line for line in now if line not in before.splitlines()]
    assert new and all("/objects/" in n or "banger" in n or "/logs" in n for n in new), new
    assert set(before.splitlines()) <= set(now), "something that was there changed"


def tmux(columns, command, until):
    """The screen of a terminal of this size once it shows what is waited for."""
    name = f"t-ws-{columns}"
    as_user(["tmux", "kill-session", "-t", name], capture_output=True)
    as_user(["tmux", "new-session", "-d", "-s", name, "-x", str(columns), "-y", "50", "sh", "-c", command + "; read x"], check=True)
    try:
        def screen():
            return as_user(["tmux", "capture-pane", "-p", "-t", name], capture_output=True, text=True).stdout
        return wait_for(lambda: re.search(until, screen()) and screen(), 120)
    finally:
        as_user(["tmux", "kill-session", "-t", name], capture_output=True)


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal(banger, site, columns):
    sh("cd ~/t-site && echo $RANDOM >a")
    cli = os.path.join(BUILD, "cli", "banger")
    text = tmux(columns, f"{cli} vm workspace prepare {VM} {site} --force", "unchanged in")
    print(text)
    assert re.search(rf"^{VM}:/root/repo 1 sent \(\d+B\), 0 deleted, \d+ unchanged in", text, re.M)
    for stage in ("reading the checkout", "comparing with the guest", "sending files", "putting them in place"):
        assert stage in text
    assert max(len(line) for line in text.splitlines()) <= columns


def vm_of_site(banger):
    return [v for v in banger.json("vm", "list") if v["labels"].get("checkout", "").endswith("/t-site")]


def test_run(banger, site):
    for v in vm_of_site(banger):
        banger.ok("vm", "delete", v["name"])
    try:
        result = banger("vm", "run", site, "--", "sh", "-c", "pwd; cat -- -dash; echo err >&2; exit 7")
        assert (result.status, result.out) == (7, "/root/repo\nx\n") and result.err.endswith("err\n"), result
        first = vm_of_site(banger)
        sh("echo again >~/t-site/a")
        result = banger("vm", "run", site, "--", "cat", "a")
        assert (result.status, result.out) == (0, "again\n") and vm_of_site(banger)[0]["id"] == first[0]["id"], result
        interrupt(site)
        shell(site)
    finally:
        for v in vm_of_site(banger):
            banger("vm", "delete", v["name"])


def interrupt(site):
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen([os.path.join(here, "../../scripts/as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "run", site,
                                "--", "sh", "-c", "trap 'exit 9' INT; echo up; while :; do sleep 0.1; done"],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 9 and time.monotonic() - began < 30


def shell(site):
    cli = os.path.join(BUILD, "cli", "banger")
    text = tmux(80, f"{cli} vm run {site}", r"repo#")
    print(text)
    assert ":~/repo#" in text


def test_rm(banger, site):
    names = {v["name"] for v in banger.json("vm", "list")}
    result = banger("vm", "run", "--rm", site, "--", "sh", "-c", "cat a; exit 4")
    assert result.status == 4 and result.out == sh("cat ~/t-site/a"), result
    assert {v["name"] for v in banger.json("vm", "list")} == names
