# SPDX-License-Identifier: ISC
"""The documentation knows every field, error code and flag that there is."""
import os
import re

SOURCE = os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "../../.."))


def text(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def test_every_field_of_a_vm_is_documented():
    fields = re.findall(r'put\(json, "(\w+)"', text("daemon/vm/vm_json.c"))
    rows = text("docs/api.md").split("### vm\n")[1].split("\n### ")[0]
    assert len(fields) > 20
    assert [f for f in fields if not re.search(rf"^\|[^|]*\b{f}\b", rows, re.M)] == []


def test_every_command_has_an_example(home):
    for line in home.run("help").out.splitlines():
        if not (line.startswith("  ") and line[2].islower()):
            continue
        words = re.match(r"  (vm workspace [a-z]+|[a-z-]+(?: [a-z-]+)?)", line)[1].split()
        r = home.run(*words, "--help")
        assert r.status == 0 and re.search(r"\nExample\n  \S", r.out), words


def commands(home):
    for line in home.run("help").out.splitlines():
        if line.startswith("  ") and line[2:3].islower():
            yield re.match(r"  (vm workspace [a-z]+|[a-z-]+(?: [a-z-]+)?)", line)[1]


def test_what_json_prints_is_documented(home):
    page = text("docs/json.md")
    missing = [c for c in commands(home) if "--json" in home.run(*c.split(), "--help").out and f"`{c}" not in page]
    assert missing == []


def test_every_key_of_the_configuration_is_documented():
    keys = re.findall(r"^X\((\w+),", text("host/config_keys.def"), re.M)
    shown = re.findall(r"^    (\w+) = ", text("docs/configuration.md"), re.M)
    assert len(keys) > 15 and sorted(keys) == sorted(shown)


def test_every_page_that_is_named_is_there():
    """In messages and comments "docs/NAME.md", in pages a link."""
    wrong = []
    for folder in ("cli", "common", "daemon", "worker", "privhelper", "guest", "launcher", "tui", "man", "packaging", "scripts", "docs", "."):
        for top, folders, files in os.walk(os.path.join(SOURCE, folder)):
            folders[:] = [] if folder == "." else folders
            for name in files:
                if not name.endswith((".c", ".h", ".def", ".in", ".md", ".html", ".conf", ".service")):
                    continue
                path = os.path.relpath(os.path.join(top, name), SOURCE)
                named = re.findall(r"(?<![\w/])docs/[\w-]+\.md", text(path))
                if name.endswith(".md"):
                    named += [os.path.normpath(os.path.join(os.path.dirname(path), link)) for link in re.findall(r"\]\(([^)#:]+)\)", text(path))]
                wrong += [(path, n) for n in named if not os.path.exists(os.path.join(SOURCE, n))]
    assert wrong == []
