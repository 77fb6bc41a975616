# SPDX-License-Identifier: ISC
"""Which lines of the helpers' parts their tests ran, from the counters of a counted build (see counted_helper in scripts/check).

counted.py COUNTERS BUILD RESULTS: prints all lines that never ran and how many did; a result for count.py, which fails below FLOOR.
"""
import glob
import os
import subprocess
import sys
from xml.sax.saxutils import escape

FLOOR = 95  # of a hundred; 97 were seen. What is left is failures that a kernel does not have on demand
PROGRAMS = ["banger-privhelper", "banger-keeper"]
NOT_HERE = {"blk.c", "blk_dm.c", "disk_file.c"}  # the disk helper's, which is tested in the lab


def lines(counters, build):
    """{file: {line: times}} of privhelper/, all programs taken together."""
    merged = os.path.join(counters, "all.profdata")
    subprocess.run(["llvm-profdata", "merge", "-o", merged, *glob.glob(counters + "/*.profraw")], check=True)
    programs = [f"{build}/privhelper/{p}" for p in PROGRAMS]
    text = subprocess.run(["llvm-cov", "export", "-format=lcov", "-instr-profile=" + merged, programs[0], "-object", programs[1]],
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


def main(counters, build, results):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "privhelper")
    found = lines(counters, build)
    total = sum(map(len, found.values()))
    never = [(name, n) for name in sorted(found) for n, times in sorted(found[name].items()) if not times]
    for name, n in never:
        with open(os.path.join(source, name)) as f:
            print(f"never run: privhelper/{name}:{n}: {f.read().splitlines()[n - 1].strip()}")
    said = f"the network helper's tests run {total - len(never)} of {total} lines of it and the keeper, {100 - 100 * len(never) / total:.1f} %"
    print(said)
    bad = 100 * (total - len(never)) < FLOOR * total
    with open(os.path.join(results, "counted.xml"), "w") as f:
        f.write('<testsuite name="counted"><testcase classname="counted" name="lines of the helper">'
                + (f"<failure>{escape(said)}: below {FLOOR} %</failure>" if bad else "") + "</testcase></testsuite>\n")


main(*sys.argv[1:])
