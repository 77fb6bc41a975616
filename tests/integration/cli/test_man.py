# SPDX-License-Identifier: ISC
"""The man pages: every command, flag and key is in one, as the tables have it; mandoc and groff find nothing."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD
from test_docs import text

MAN = os.path.join(os.path.abspath(BUILD), "man")
PAGES = [f"banger{noun}.1" for noun in ("", "-vm", "-workspace", "-image", "-kernel", "-op", "-daemon", "-tui")]
PAGES += ["banger.toml.5", "privhelper.conf.5", "bangerd.8", "banger-privhelper.8"]

pytestmark = pytest.mark.skipif(not shutil.which("scdoc"), reason="the pages are made by scdoc")


def rendered(page):
    """As lines without bold, underline and indent, subheadings as "## X"; wide, so that nothing that is compared is wrapped."""
    out = subprocess.run(["mandoc", "-Tutf8", "-Owidth=500", os.path.join(MAN, page)], capture_output=True, text=True, check=True).stdout
    return [re.sub(r"^ {3}(?=\S)", "## ", line).strip() for line in re.sub(".\b", "", out).splitlines()]


def page_of(path):
    words = path.split()
    if words[:2] in (["vm", "run"], ["vm", "workspace"]):
        return "banger-workspace.1"
    return f"banger-{words[0]}.1" if len(words) > 1 else "banger.1"


def commands():
    """(path, hidden) of every row, from the source: a page's own maker is not asked."""
    rows = []
    for name in sorted(os.listdir(os.path.join(os.path.dirname(__file__), "../../../cli"))):
        if name.startswith("cmd_") and name.endswith(".c"):
            for row in re.split(r'\{\s*\.path = "', text(f"cli/{name}"))[1:]:
                rows.append((row.split('"')[0], ".hidden = true" in row))
    assert len(rows) > 40
    return rows


def section(lines, path):
    """What follows a command's heading, up to the next one."""
    rest = lines[lines.index("## banger " + path) + 1:]
    return rest[:[n for n, line in enumerate(rest) if line.startswith("## ") or line == "EXIT STATUS"][0]]


@pytest.fixture(scope="module")
def pages():
    return {page: rendered(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_no_warning(page):
    path = os.path.join(MAN, page)
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")
    if shutil.which("groff"):
        assert subprocess.run(["groff", "-Kutf8", "-ww", "-man", "-Tutf8", path], capture_output=True, text=True, check=True).stderr == ""


def test_each_page_is_among_those_tested():
    made = [name for name in os.listdir(MAN) if re.search(r"\.[158]$", name)]
    assert sorted(made) == sorted(PAGES) == sorted(n.removesuffix(".scd.in") for n in os.listdir(os.path.join(MAN, "../../man")) if n.endswith(".in"))


def test_synopses_flags_and_examples_are_those_of_help(home, pages):
    for path, hidden in commands():
        lines = pages[page_of(path)]
        if hidden:
            assert not [line for page in pages.values() for line in page if line.removeprefix("## ").startswith(f"banger {path}")], path
            continue
        told = home.run(*path.split(), "--help").out
        usage = re.search(r"^Usage: (.*)$", told, re.M)[1].replace("  ", " ")
        part = section(lines, path)
        assert usage in part, (path, usage)
        if page_of(path) != "banger.1":
            assert usage in lines[lines.index("SYNOPSIS"):lines.index("DESCRIPTION")], path
        for flag in re.findall(r"^  ((?:-\w, )?--[a-z0-9-]+(?: [A-Z]\S*)?)(?:  |$)", told, re.M):
            assert flag in part, (path, flag)
        for example in told.split("\nExample\n")[1].strip().splitlines():
            assert example.strip() in part, (path, example)


def test_summaries_are_in_the_list_of_all(home, pages):
    lines = [line.lower() for line in pages["banger.1"]]
    for path, hidden in commands():
        if not hidden:
            summary = re.search(rf"^banger {path}: (.*)$", home.run(*path.split(), "--help").out, re.M)[1]
            assert lines[lines.index(path) + 1] == summary.replace("`", "").lower(), path


def test_every_exit_status(home, pages):
    for status in re.findall(r"^  (\d+) ", home.run("help").out.split("Exit status")[1], re.M):
        for page in PAGES[:7]:
            assert status in pages[page][pages[page].index("EXIT STATUS"):], (page, status)


def test_every_key_of_the_configuration(pages):
    rows = re.findall(r'^X\((\w+), .*?, +("(?:\\.|[^"\\])*"|NULL), +"((?:\\.|[^"\\])*)"\)$', text("host/config_keys.def"), re.M)
    assert len(rows) == len(re.findall(r"^X\(", text("host/config_keys.def"), re.M)) > 15
    lines = pages["banger.toml.5"]
    for key, default, told in rows:
        entry = [lines[n + 1] for n, line in enumerate(lines) if line.startswith(f"{key} = ")]
        value = "none" if default == "NULL" else default.strip('"')
        assert entry and entry[0].startswith(told.replace('\\"', '"')), key
        assert re.search(rf'Default: "?{re.escape(value)}"?$', entry[0]), (key, entry)


def test_every_key_of_the_helper(pages):
    keys = re.findall(r'\{"(\w+)", (?:POOL|YES_NO|NUMBER)', text("privhelper/policy.c"))
    defaults = dict(re.findall(r"^#(\w+) = (.*)$", text("packaging/privhelper.conf"), re.M))
    assert sorted(keys) == sorted(defaults) and len(keys) > 5
    for key, default in defaults.items():
        assert f"{key} = {default}" in pages["privhelper.conf.5"], key


def test_options_of_the_daemon(pages):
    usage = re.search(r"usage: (bangerd .*?) \| (--version)", text("daemon/main.c"))
    assert usage[1] in pages["bangerd.8"] and f"bangerd {usage[2]}" in pages["bangerd.8"]


def test_examples_by_hand(home):
    """In the sources, where no table's are: the commands and flags exist, and so do the keys."""
    keys = re.findall(r"^X\((\w+),", text("host/config_keys.def"), re.M) + re.findall(r"^#(\w+) = ", text("packaging/privhelper.conf"), re.M)
    paths, seen = [path for path, _ in commands()], 0
    for page in PAGES:
        for line in "".join(re.findall(r"^```$(.*?)^```$", text(f"man/{page}.scd.in"), re.M | re.S)).splitlines():
            if line.startswith("banger "):
                path = max((p for p in paths if line.startswith(f"banger {p}")), key=len)
                told = home.run(*path.split(), "--help").out
                assert all(flag in told for flag in re.findall(r" (--[a-z-]+)", line)), line
                seen += 1
            elif key := re.match(r"(\w+) = ", line):
                assert key[1] in keys, line
                seen += 1
    assert seen > 5


def test_pages_that_are_referred_to(pages):
    """One of banger's own exists, in that section."""
    for page, lines in pages.items():
        for name, section in re.findall(r"\b(banger[a-z.-]*|privhelper\.conf)\((\d)\)", " ".join(lines[2:-2])):
            assert f"{name}.{section}" in PAGES, (page, name)


def test_every_key_of_the_terminal_ui(pages):
    """Each row of keys.def has its line in banger-tui(1)."""
    rows = re.findall(r'^X\((\w+),.*"((?:[^"\\]|\\.)*)"\)$', text("tui/keys.def"), re.M)
    assert len(rows) > 40
    page = " ".join(pages["banger-tui.1"])
    for name, help_text in rows:
        assert help_text.replace('\\"', '"').replace("`", "") in page, name
