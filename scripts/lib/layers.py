# SPDX-License-Identifier: ISC
"""Whether calls go only down: the include graph of the C files, judged by the two tables in docs/architecture.md, "Layers".

Called by style.py. The first table names the layers from the top to the bottom, each with the beginnings of the paths in it: a file may
include its own part and the layers below, not another part of its layer, and of another program only the two lowest. The second names the edges that are known to be wrong; one
that is not needed any more is a fault, so it only gets shorter. Beyond both, no two modules may need each other, but for a module and
the files that are named after it (vmm.h and vmm_impl.h).
"""
import collections
import re

DOCUMENT = "docs/architecture.md"


def tables(text):
    """[[beginning, ...], ...] from the top, and {(from, to): line} of the exceptions."""
    part = re.search(r"^## Layers\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    layers, exceptions = [], {}
    for row in re.findall(r"^\|(.*)\|$", part[1] if part else "", re.M):
        cells = [re.findall(r"`([^`]+)`", cell) for cell in row.split("|")]
        if len(cells) == 2 and cells[1]:
            layers.append(cells[1])
        elif len(cells) == 3 and cells[0] and cells[1]:
            exceptions.update({(a, b): row for a in cells[0] for b in cells[1]})
    return layers, exceptions


class Graph:
    def __init__(self, tree):
        self.layers, self.exceptions = tables(tree.text(DOCUMENT) if DOCUMENT in tree.files else "")
        self.files = [f for f in tree.named(".c", ".h", ".def") if not f.startswith(("tests/", "man/"))]
        known = set(self.files)
        self.edges = [(f, to) for f in self.files for to in re.findall(r'^#include "([^"]+)"', tree.text(f), re.M) if to in known]

    def place(self, name):
        """(number of the layer, the part of it): the longest beginning decides."""
        found = [(len(part), i, part) for i, parts in enumerate(self.layers) for part in parts if name.startswith(part)]
        return max(found)[1:] if found else None

    def is_down(self, f, to):
        a, b = self.place(f), self.place(to)
        if not a or not b or a == b:
            return True
        return b[0] > a[0] and (f.split("/")[0] == to.split("/")[0] or b[0] >= len(self.layers) - 2)

    def known(self, f, to):
        return [(a, b) for a, b in self.exceptions if f.startswith(a) and to.startswith(b)]

    def upward(self):
        return [(f, to) for f, to in self.edges if not self.is_down(f, to)]

    def circles(self, without=None):
        """Modules that need each other, but for those that are named after one of them; without: as if that exception were none."""
        module = {f: re.sub(r"\.\w+$", "", f) for f in self.files}
        below = collections.defaultdict(set)
        for f, to in self.edges:
            if not set(self.known(f, to)) - {without} and module[f] != module[to]:
                below[module[f]].add(module[to])
        circles = [c for c in components(below) if len(c) > 1]
        return [c for c in circles if not all(m == min(c, key=len) or m.startswith(min(c, key=len) + "_") for m in c)]


def components(below):
    """The strongly connected components of {node: {node}}: nodes that reach the same nodes and each other."""
    reach = {}
    for start in below:
        seen, stack = set(), [start]
        while stack:
            for to in below.get(stack.pop(), ()):
                if to not in seen:
                    seen.add(to)
                    stack.append(to)
        reach[start] = seen
    done, found = set(), []
    for node in sorted(below):
        if node not in done:
            found.append({node} | {to for to in reach[node] if node in reach.get(to, ())})
            done |= found[-1]
    return found


def check(tree):
    graph = Graph(tree)
    bad = [f"{f}: stands in no layer of {DOCUMENT}" for f in graph.files if graph.layers and not graph.place(f)]
    up = graph.upward()
    bad += [f"{f}: includes {to}, which is not below it" for f, to in up if not graph.known(f, to)]
    needed = {edge for f, to in up for edge in graph.known(f, to)}
    needed |= {edge for edge in set(graph.exceptions) - needed if graph.circles(edge) != graph.circles()}
    bad += [f"{DOCUMENT}: the exception {a} -> {b} is not needed any more" for a, b in graph.exceptions if (a, b) not in needed]
    return bad + [f"{sorted(c)[0]}: a circle: {', '.join(sorted(c))}" for c in graph.circles()]
