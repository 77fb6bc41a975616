# SPDX-License-Identifier: ISC
"""The style of the tree as a gate: each function below is one rule, and gives a line "FILE:LINE: what is wrong" for each breach.

    style.py [--tree DIR] [--ruff PROGRAM] [--junit FILE] [GATE...]      all gates, or those named

Called by `scripts/check style`, and by tests/style on trees with a fault planted for each gate. Reads files and runs clang-format, shellcheck
and ruff on them; writes nothing but the JUnit file. Exits 1 when a gate has found something.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.sax.saxutils

from layers import check as check_layers

FUNCTION_LINES, FILE_LINES = 60, 700
NO_SOURCE = {".git", ".cache", "__pycache__", "cache"}


class Tree:
    """The files below a folder, as paths relative to it; what is built or fetched is left out."""

    def __init__(self, root, ruff):
        self.root, self.ruff, self.files = pathlib.Path(root), ruff, []
        for folder, folders, names in os.walk(root):
            top = pathlib.Path(folder) == self.root
            folders[:] = [d for d in folders if d not in NO_SOURCE and not (top and d.startswith("build"))]
            self.files += [str((pathlib.Path(folder) / name).relative_to(root)) for name in names]
        self.files = sorted(f for f in self.files if not (self.root / f).is_symlink())

    def named(self, *endings):
        return [f for f in self.files if f.endswith(endings)]

    def text(self, name):
        return (self.root / name).read_text(errors="replace")

    def first_line(self, name):
        with open(self.root / name, "rb") as f:
            return f.readline(100)

    def shell(self):
        return [f for f in self.files if f.endswith(".sh") or re.match(rb"#!.*[/ ](ba)?sh\b", self.first_line(f))]

    def python(self):
        return [f for f in self.files if f.endswith(".py") or re.match(rb"#!.*python", self.first_line(f))]

    def run(self, command, files):
        """The output of a program that gets files as arguments, some at a time on each processor."""
        parts = [files[i::8] for i in range(8) if files[i::8]]
        if not shutil.which(command[0]):
            return [f"{command[0]} is not installed"]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            done = list(pool.map(lambda part: subprocess.run([*command, *part], cwd=self.root, capture_output=True, text=True), parts))
        lines = [line for d in done for line in (d.stdout + d.stderr).splitlines()]
        if any(d.returncode for d in done):
            return [line for line in lines if re.match(r"[^\s:]+:\d+", line)] or lines or [f"{command[0]} failed without a word"]
        return []


def layout(tree):
    """clang-format lays out every C file; .clang-format is the layout."""
    return tree.run(["clang-format", "--dry-run", "-Werror"], tree.named(".c", ".h"))


def head(tree):
    """A file opens with its licence and a comment that says what it is."""
    wanted = [(f, r"/\* SPDX[^\n]*\*/\n/\*") for f in tree.named(".c", ".h", ".def")]
    wanted += [(f, r'(#!.*\n)?# SPDX.*\n("""|#)') for f in tree.python()]
    wanted += [(f, r"(#!.*\n)?(#.*\n)*# SPDX.*\n(#.*\n)*# \S") for f in tree.shell()]
    return [f"{f}:1: no comment below the licence that says what the file is" for f, form in wanted if not re.match(form, tree.text(f))]


def guard(tree):
    """A header's guard is its path: daemon/vm/vm.h has BG_DAEMON_VM_VM_H."""
    bad = []
    for f in tree.named(".h"):
        name = "BG_" + re.sub(r"[^A-Z0-9]", "_", f.upper())
        if not re.search(rf"\A(?:\s|/\*.*?\*/)*#ifndef {name}\n#define {name}\n.*\n#endif\n\Z", tree.text(f), re.S):
            bad.append(f"{f}:1: its guard is not {name}, from the first line of code to the last")
    return bad


def includes(tree):
    """No header of ours can stand in for a system's: no folder but the root is searched, and paths begin there."""
    bad = [f"{f}: {line.strip()}: not a path from the root of the tree"
        for f in tree.named(".c", ".h", ".def") for line in re.findall(r'^#include "[^/"]*"', tree.text(f), re.M)]
    for f in tree.named("meson.build"):
        text = tree.text(f)
        for found in re.finditer(r"\b(executable|library|static_library)\(", text):
            call = text[found.start():end_of_call(text, found.end())]
            if "implicit_include_directories: false" not in call:
                bad.append(f"{f}:{text.count(chr(10), 0, found.start()) + 1}: without implicit_include_directories: false")
    return bad


def end_of_call(text, at):
    depth = 1
    while depth and at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at


def layers(tree):
    """Calls go only down, as docs/architecture.md has the layers, and in no circle."""
    return check_layers(tree)


def functions(tree):
    """No function of C is above 60 lines, from its name to its last brace."""
    bad = []
    for f in tree.named(".c", ".h"):
        begin, lines = 0, tree.text(f).split("\n")
        for i, line in enumerate(lines):
            if line == "{":
                begin = next(at for at in range(i - 1, -1, -1) if not lines[at].startswith(("\t", " ")))
            if line == "}" and i - begin + 1 > FUNCTION_LINES:
                bad.append(f"{f}:{begin + 1}: a function of {i - begin + 1} lines")
    return bad


def files(tree):
    """No file is above 700 lines."""
    counts = [(f, tree.text(f).count("\n")) for f in sorted({*tree.named(".c", ".h", ".def"), *tree.python(), *tree.shell()})]
    return [f"{f}:{n}: {n} lines" for f, n in counts if n > FILE_LINES]


def shell(tree):
    """shellcheck has no complaint; .shellcheckrc says what it is asked."""
    return tree.run(["shellcheck", "-f", "gcc", "-x"], tree.shell())


def python(tree):
    """ruff has no complaint; ruff.toml says what it is asked."""
    return tree.run([tree.ruff, "check", "--no-cache", "--output-format", "concise"], tree.python())


GATES = [layout, head, guard, includes, layers, functions, files, shell, python]


def write_junit(path, results):
    escape = xml.sax.saxutils.escape
    with open(path, "w") as out:
        out.write(f'<testsuites><testsuite name="style" tests="{len(results)}">\n')
        for gate, bad, seconds in results:
            text = f'<failure message="{len(bad)} breaches">{escape(chr(10).join(bad))}</failure>' if bad else ""
            out.write(f'<testcase classname="style" name="{gate.__name__}" time="{seconds:.2f}">{text}</testcase>\n')
        out.write("</testsuite></testsuites>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", default=pathlib.Path(__file__).parents[2])
    parser.add_argument("--ruff", default="ruff")
    parser.add_argument("--junit")
    parser.add_argument("gates", nargs="*", choices=[[], *(g.__name__ for g in GATES)])
    args = parser.parse_args()
    tree, results = Tree(args.tree, args.ruff), []
    for gate in GATES:
        if not args.gates or gate.__name__ in args.gates:
            began = time.monotonic()
            results.append((gate, gate(tree), time.monotonic() - began))
    for gate, bad, _ in results:
        for line in bad:
            print(f"{line} [{gate.__name__}: {gate.__doc__.splitlines()[0]}]")
    if args.junit:
        write_junit(args.junit, results)
    return 1 if any(bad for _, bad, _ in results) else 0


if __name__ == "__main__":
    sys.exit(main())
