# SPDX-License-Identifier: ISC
"""What a real terminal (tmux) shows, at 80 and at 200 columns, in UTF-8 and without."""
import functools
import shutil
import subprocess

import pytest

from fake_daemon import running, stage, vm
from screen import Screen

VMS = [running("web-frontend-of-the-shop", image="debian-with-all-the-tools", labels={"env": "test", "team": "shop"}),
       vm("db", error={"code": "x", "message": "m"}), vm("caf", image="w\u00fcrz-image", labels={"owner": "J\u00fcrgen"})]


@pytest.fixture
def screen(home, fake):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    fake.on("GET", "/v1/vms", {"vms": VMS})
    screens = []

    def make(columns, **env):
        who = {} if home.uid is None else {"user": home.uid, "group": home.uid, "extra_groups": []}
        screens.append(Screen(functools.partial(subprocess.run, **who), columns, home.path, {**home.env, "LC_ALL": "C.UTF-8", **env}))
        return screens[-1]

    yield make
    for one in screens:
        one.end()


@pytest.mark.parametrize("columns", [80, 200])
def test_list_fits(screen, home, columns):
    lines = screen(columns).run(f"{home.banger} vm list")
    assert len(lines) == 1 + len(VMS), "no row is wrapped"
    assert lines[0].split()[:2] == ["NAME", "STATE"] and "ADDRESS" in lines[0]
    assert ("LABELS" in lines[0]) == (columns == 200)
    assert lines[1].startswith("web-frontend-of-t" if columns == 80 else VMS[0]["name"]) and "10.209.1.2" in lines[1]
    assert all(len(line) <= columns for line in lines)
    starts = lines[0].index("STATE")
    assert [line[starts:].split()[0] for line in lines[1:]] == ["running", "failed", "stopped"]


@pytest.mark.parametrize("columns", [80, 200])
def test_help_fits(screen, home, columns):
    lines = screen(columns).run(f"{home.banger} vm create --help")
    assert any(line.startswith("  --publish HOST:GUEST") or "-p, --publish HOST:GUEST" in line for line in lines)
    assert all(len(line) <= columns for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "lead this TCP port of 127.0.0.1 to that one of the VM; may be repeated" in text, "words stay whole"


@pytest.mark.parametrize("columns", [80, 200])
def test_progress_leaves_its_stages_and_the_result(screen, home, fake, columns):
    stages = [stage("disks", "make disks", 12), stage("boot", "x" * 190, 3200)]
    fake.operation("POST", "/v1/vms/db/start", "vm.start", "db", [
        {"stages": [stage("disks", "make disks", state="running")]},
        {"state": "done", "stages": stages, "result": running("db"), "elapsed_ms": 3212}])
    lines = screen(columns).run(f"{home.banger} vm start db")
    assert lines[-1] == "db is ready in 3.2 s, at 10.209.1.2"
    assert [line.split()[:2] for line in lines[:-1]] == [["12", "ms"], ["3.2", "s"]], "one line for each stage"


def test_utf8_is_shown_where_it_can_be(screen, home):
    text = "\n".join(screen(200).run(f"{home.banger} vm list"))
    assert "w\u00fcrz-image" in text and "owner=J\u00fcrgen" in text


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_without_utf8_a_question_mark_stands_for_it(screen, home, locale):
    lines = screen(200, LC_ALL=locale).run(f"{home.banger} vm list")
    assert "w?rz-image" in "\n".join(lines) and len({line.index("STATE") for line in lines[:1]}) == 1
    assert all(ord(c) < 128 for line in lines for c in line)


def test_a_pipe_gets_the_bytes_as_they_are(home, fake):
    fake.on("GET", "/v1/vms", {"vms": VMS})
    assert "w\u00fcrz-image" in home.run("vm", "list", env={"LC_ALL": "C"}).out


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color(home, fake, env):
    fake.on("GET", "/v1/vms", {"vms": VMS})
    assert "\x1b[3" not in home.on_terminal("vm", "list", env=env).out
    assert "\x1b[3" in home.on_terminal("vm", "list").out
