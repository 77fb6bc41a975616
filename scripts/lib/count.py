# SPDX-License-Identifier: ISC
"""Adds up what scripts/check left in its results folder: TAP inside meson's testlog.json, pytest's JUnit XML.

Prints what took the time, failures and the reasons of skips, then "N passed, N failed, N skipped"; exits 1 when anything failed or nothing ran.
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

TAP = re.compile(r"^(not )?ok \d+(?: - )?(.*?)(?:\s+# (SKIP|skip)\b\s*(.*))?$")


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped, self.took = 0, [], [], []

    def time(self, suite, name, seconds):
        self.took.append((float(seconds or 0), suite, name))

    def add(self, name, verdict, text=""):
        if verdict == "pass":
            self.passed += 1
        else:
            (self.failed if verdict == "fail" else self.skipped).append((name, text))


def count_tap(count, suite, record):
    count.time(suite, record["name"], record.get("duration"))
    lines = record.get("stdout", "").splitlines()
    rows = [m for m in map(TAP.match, lines) if m]
    for row in rows:
        name = f"{suite}: {record['name']}: {row[2]}"
        if row[3]:
            count.add(name, "skip", row[4])
        else:
            comments = "\n".join(l for l in lines if l.startswith("#"))
            count.add(name, "fail" if row[1] else "pass", comments)
    # A program that crashed before its first line, or reported a failure outside TAP (a sanitizer).
    if record["result"] not in ("OK", "SKIP") and not any(row[1] for row in rows):
        count.add(f"{suite}: {record['name']}", "fail", record["result"] + "\n" + record.get("stderr", "")[-3000:])


def count_meson(count, path):
    for line in path.read_text().splitlines():
        count_tap(count, path.stem, json.loads(line))


def count_junit(count, path):
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = f"{path.stem}: {case.get('classname')}.{case.get('name')}"
        count.time(path.stem, f"{case.get('classname')}.{case.get('name')}", case.get("time"))
        bad = [e for e in case if e.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            count.add(name, "fail", (bad[0].text or "")[-3000:])
        elif skip is not None:
            count.add(name, "skip", skip.get("message", ""))
        else:
            count.add(name, "pass")


def print_slowest(took):
    """Of programs that run two at a time the sum is more than the clock."""
    for suite in sorted({suite for _, suite, _ in took}):
        print(f"time     {sum(t for t, of, _ in took if of == suite):7.1f} s  {suite}, whole")
    for seconds, suite, name in sorted(took, reverse=True)[:10]:
        print(f"slowest  {seconds:7.1f} s  {suite}: {name}")


def main():
    results, count = pathlib.Path(sys.argv[1]), Count()
    for path in sorted(results.glob("*.json")):
        count_meson(count, path)
    for path in sorted(results.glob("*.xml")):
        count_junit(count, path)
    print_slowest(count.took)
    for name, reason in count.skipped:
        print(f"skipped  {name}: {reason}")
    for name, text in count.failed:
        print(f"FAILED   {name}\n{text}")
    print(f"{count.passed} passed, {len(count.failed)} failed, {len(count.skipped)} skipped")
    return 1 if count.failed or not count.passed else 0


sys.exit(main())
