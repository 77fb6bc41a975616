# SPDX-License-Identifier: ISC
"""Which lines of the helper's parts and the keeper their tests ran, from the counters of a counted build (see counted_helper in scripts/check).

counted.py COUNTERS BUILD RESULTS: prints all lines that never ran and how many did; a result for count.py, which fails when there is such
a line. Where this machine kept a test of tests/priv from running (priv.xml in RESULTS), that is a skip.
"""
import glob
import os
import subprocess
import sys
import xml.etree.ElementTree
from xml.sax.saxutils import escape, quoteattr

PROGRAMS = ["privhelper/banger-privhelper", "privhelper/banger-keeper",
            *(f"tests/unit/test_priv_{name}" for name in ("kernel", "ledger", "policy"))]
NOT_HERE = {"blk.c", "blk_dm.c", "disk_file.c"}  # the disk helper's, which is tested in the lab


def lines(counters, build):
    """{file: {line: times}} of privhelper/, all programs taken together."""
    merged = os.path.join(counters, "all.profdata")
    subprocess.run(["llvm-profdata", "merge", "-o", merged, *glob.glob(counters + "/*.profraw")], check=True)
    objects = [word for p in PROGRAMS for word in ("-object", f"{build}/{p}")]
    text = subprocess.run(["llvm-cov", "export", "-format=lcov", "-instr-profile=" + merged, *objects[1:]],
                          check=True, capture_output=True, text=True).stdout
    found, at = {}, None
    for line in text.splitlines():
        if line.startswith("SF:"):
            folder, name = os.path.split(line[3:])
            at = found.setdefault(name, {}) if os.path.basename(folder) == "privhelper" and name not in NOT_HERE else None
        elif line.startswith("DA:") and at is not None:
            number, times = line[3:].split(",")[:2]
            at[int(number)] = at.get(int(number), 0) + int(times)
    return found


def not_run(results):
    """Why a test of the suite did not run here; or None."""
    path = os.path.join(results, "priv.xml")
    skips = xml.etree.ElementTree.parse(path).iter("skipped") if os.path.exists(path) else ()
    return next((s.get("message") or "a test was skipped" for s in skips), None)


def verdict(never, said, results):
    """Inside a test case of JUnit XML."""
    if not never:
        return ""
    if skip := not_run(results):
        return f"<skipped message={quoteattr(f'{said}; not judged here: {skip}')}/>"
    return f"<failure>{escape(said)}: each has to</failure>"


def main(counters, build, results):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "privhelper")
    found = lines(counters, build)
    total = sum(map(len, found.values()))
    never = [(name, n) for name in sorted(found) for n, times in sorted(found[name].items()) if not times]
    for name, n in never:
        with open(os.path.join(source, name)) as f:
            print(f"never run: privhelper/{name}:{n}: {f.read().splitlines()[n - 1].strip()}")
    said = f"the network helper's tests run {total - len(never)} of {total} lines of it and the keeper"
    print(said)
    with open(os.path.join(results, "counted.xml"), "w") as f:
        f.write('<testsuite name="counted"><testcase classname="counted" name="lines of the helper">'
                + verdict(never, said, results) + "</testcase></testsuite>\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
