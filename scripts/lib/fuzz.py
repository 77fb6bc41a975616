# SPDX-License-Identifier: ISC
"""Runs fuzzers for a while, as many at a time as there are processors, each from its corpus in tests/fuzz/corpus, which stays as it is.

    fuzz.py BUILD RESULTS SECONDS SEED [NAME...]

Called by scripts/check. SEED 0 is another one each time; with a fixed one the same program finds the same. What a fuzzer found is kept in
RESULTS/fuzz; put into the corpus it is a plain test (tests/fuzz/replay.c). Writes RESULTS/fuzz.xml.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from xml.sax.saxutils import escape

CORPUS = pathlib.Path(__file__).parents[2] / "tests/fuzz/corpus"


def names(build):
    return sorted(f.name.removeprefix("fuzz_") for f in (build / "tests/fuzz").glob("fuzz_*") if f.is_file() and os.access(f, os.X_OK))


def run(build, found, seconds, seed, name):
    """(name, seconds, None or the end of what it said)."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as new:
        command = [build / f"tests/fuzz/fuzz_{name}", f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=120", "-print_final_stats=1",
                   f"-artifact_prefix={found}/{name}-", new, CORPUS / name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds * 3 + 300)
            bad = done.stderr[-3000:] if done.returncode else None
        except subprocess.TimeoutExpired:
            bad = "it did not end"
    return name, time.monotonic() - began, bad


def main(build, results, seconds, seed, *wanted):
    build, found = pathlib.Path(build), pathlib.Path(results) / "fuzz"
    found.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda name: run(build, found, int(seconds), seed, name), wanted or names(build)))
    with open(f"{results}/fuzz.xml", "w") as out:
        out.write('<testsuite name="fuzz">\n')
        for name, took, bad in done:
            failure = f"<failure>{escape(bad.encode('ascii', 'backslashreplace').decode())}</failure>" if bad else ""
            out.write(f'<testcase classname="fuzz" name="{name}" time="{took:.1f}">{failure}</testcase>\n')
        out.write("</testsuite>\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
