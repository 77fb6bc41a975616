# SPDX-License-Identifier: ISC
"""The table of faults in docs/troubleshooting.md, for the tests that make them."""
import os

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def catalogue():
    """{fault: (row, what it says, remedy)}"""
    with open(ROOT + "/docs/troubleshooting.md", encoding="utf-8") as f:
        rows = f.read().split("| fault | row |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[c.strip() for c in row.strip("| ").split(" | ")] for row in rows]
    assert all(len(c) == 4 for c in cells)
    return {c[0]: tuple(c[1:]) for c in cells}
