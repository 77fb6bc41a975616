# SPDX-License-Identifier: ISC
"""clang-tidy over the programs' C files, or over a share of them.

    tidy.py BUILD RESULTS [SHARE SHARES]

Called by scripts/check with a build whose compile_commands.json says how each file is compiled. .clang-tidy says what is asked.
Writes RESULTS/tidy.xml.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]


def sources(build):
    entries = json.loads((build / "compile_commands.json").read_text())
    paths = {os.path.relpath((pathlib.Path(e["directory"]) / e["file"]).resolve(), ROOT) for e in entries}
    return sorted(p for p in paths if not p.startswith(("tests/", "..", "build")))


def run(build, files):
    """Complaints, a line each."""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, *files], cwd=ROOT, capture_output=True, text=True)
    lines = [line.replace(f"{ROOT}/", "") for line in done.stdout.splitlines() if " error: " in line or " warning: " in line]
    return lines or ([done.stderr[-2000:] or "clang-tidy failed without a word"] if done.returncode else [])


def main(build, results, share="0", shares="1"):
    build, began = pathlib.Path(build), time.monotonic()
    files = sources(build)[int(share)::int(shares)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [line for lines in pool.map(lambda i: run(build, files[i:i + 4]), range(0, len(files), 4)) for line in lines]
    print("\n".join(sorted(set(bad)) + [f"clang-tidy looked at {len(files)} files"]))
    failure = f"<failure>{escape(chr(10).join(bad))}</failure>" if bad or not files else ""
    with open(f"{results}/tidy.xml", "w") as out:
        out.write(f'<testsuite name="tidy"><testcase classname="tidy" name="{len(files)} files" time="{time.monotonic() - began:.1f}">'
                  f"{failure}</testcase></testsuite>\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
