# SPDX-License-Identifier: ISC
"""How many lines of the programs the tests ran, from the counters of a counted build (see coverage in scripts/check).

    coverage.py COUNTERS BUILD RESULTS

Prints the figure of each folder; fails below the floor that is written in tests/coverage.floor. A line that stands in several programs
counts once, and as run when one of them ran it.
"""
import collections
import glob
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOOR = ROOT / "tests/coverage.floor"
FOLDERS = ("cli", "common", "daemon", "guest", "host", "launcher", "privhelper", "tui", "worker")


def programs(build):
    """All that may have counted: ours, and the tests, which link our libraries."""
    command = ["find", build, "-type", "f", "-executable", "!", "-name", "*.so*", "!", "-name", "fuzz_*", "-size", "+20k"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return [p for p in found if b"__llvm_covmap" in pathlib.Path(p).read_bytes()]


def lines(counters, build):
    """{file: {line: was it run}}"""
    merged = os.path.join(counters, "all.profdata")
    raw = os.path.join(counters, "all.list")
    pathlib.Path(raw).write_text("\n".join(glob.glob(counters + "/*.profraw")))
    subprocess.run(["llvm-profdata", "merge", "-failure-mode=all", "-f", raw, "-o", merged], check=True)
    objects = [word for p in programs(build) for word in ("-object", p)]
    command = ["llvm-cov", "export", "-format=lcov", "-instr-profile=" + merged, *objects[1:]]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found, at = collections.defaultdict(dict), None
    for line in text.splitlines():
        if line.startswith("SF:"):
            path = re.sub(r"^(\./)?build/", f"{build}/", line[3:])  # as -ffile-prefix-map calls it
            path = os.path.relpath(os.path.normpath(os.path.join(ROOT, path)), ROOT)
            at = found[path] if path.split("/")[0] in FOLDERS else None
        elif line.startswith("DA:") and at is not None:
            number, times = line[3:].split(",")[:2]
            at[int(number)] = at.get(int(number), False) or times != "0"
    return found


def main(counters, build, results):
    found = lines(counters, os.path.abspath(build))
    sums = collections.defaultdict(lambda: [0, 0])
    for path, rows in found.items():
        for key in (path.split("/")[0], "all"):
            sums[key][0] += sum(rows.values())
            sums[key][1] += len(rows)
    for key, (run, total) in sorted(sums.items()):
        print(f"coverage {100 * run / total:5.1f} %  {key}: {run} of {total} lines")
    now, floor = 100 * sums["all"][0] / max(sums["all"][1], 1), float(FLOOR.read_text().split()[0])
    said = f"{now:.1f} % of the lines were run; the floor is {floor} %"
    with open(f"{results}/coverage.xml", "w") as out:
        out.write(f'<testsuite name="coverage"><testcase classname="coverage" name="lines">'
                  f'{"" if now >= floor else f"<failure>{said}</failure>"}</testcase></testsuite>\n')
    print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
