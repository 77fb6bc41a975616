# SPDX-License-Identifier: ISC
"""Adds up what scripts/check left in its results folder: TAP inside meson's testlog.json, pytest's JUnit XML.

Prints what took the time (each suite, and its ten slowest tests above a second), what passed at its second try only, failures and the reasons of skips, then "N passed, N failed, N skipped"; exits 1
when anything failed or nothing ran. With --failed FILE: the names of what failed, one result's. Results in NAME.again.* are those of second
tries, and stand for the first.
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

TAP = re.compile(r"^(not )?ok \d+(?: - )?(.*?)(?:\s+# (SKIP|skip)\b\s*(.*))?$")


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped, self.took, self.again = 0, [], [], [], []

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
    if bad(record) and not any(row[1] for row in rows):
        count.add(f"{suite}: {record['name']}", "fail", record["result"] + "\n" + record.get("stderr", "")[-3000:])


def records(path):
    """{name: record} of a testlog.json, or test case of JUnit XML; none without the file."""
    if not path.exists():
        return {}
    if path.suffix == ".json":
        found = map(json.loads, path.read_text().splitlines())
        return {record["name"].split(" / ")[-1]: record for record in found}
    return {f"{case.get('classname')}.{case.get('name')}": case for case in xml.etree.ElementTree.parse(path).iter("testcase")}


def bad(record):
    if isinstance(record, dict):
        return record["result"] not in ("OK", "SKIP")
    return any(e.tag in ("failure", "error") for e in record)


def count_case(count, suite, case):
    name = f"{case.get('classname')}.{case.get('name')}"
    count.time(suite, name, case.get("time"))
    faults = [e for e in case if e.tag in ("failure", "error")]
    skip = case.find("skipped")
    if faults:
        count.add(f"{suite}: {name}", "fail", (faults[0].text or "")[-3000:])
    elif skip is not None:
        count.add(f"{suite}: {name}", "skip", skip.get("message", ""))
    else:
        count.add(f"{suite}: {name}", "pass")


def count_file(count, path):
    first, second = records(path), records(path.with_name(f"{path.stem}.again{path.suffix}"))
    count.again += [f"{path.stem}: {name}" for name in first if bad(first[name]) and name in second and not bad(second[name])]
    for record in {**first, **second}.values():
        (count_tap if path.suffix == ".json" else count_case)(count, path.stem, record)


def print_slowest(took):
    """Of programs that run two at a time the sum is more than the clock."""
    for suite in sorted({suite for _, suite, _ in took}):
        print(f"time     {sum(t for t, of, _ in took if of == suite):7.1f} s  {suite}, whole")
    for suite in sorted({suite for _, suite, _ in took}):
        slow = sorted((row for row in took if row[1] == suite and row[0] >= 1), reverse=True)[:10]
        for seconds, _, name in slow:
            print(f"slowest  {seconds:7.1f} s  {suite}: {name}")


def main():
    if sys.argv[1] == "--failed":
        print("".join(f"{name}\n" for name, record in records(pathlib.Path(sys.argv[2])).items() if bad(record)), end="")
        return 0
    results, count = pathlib.Path(sys.argv[1]), Count()
    for path in sorted(results.glob("*.json")) + sorted(results.glob("*.xml")):
        if ".again." not in path.name:
            count_file(count, path)
    print_slowest(count.took)
    for name in count.again:
        print(f"AGAIN    {name}: passed, but only at its second try")
    for name, reason in count.skipped:
        print(f"skipped  {name}: {reason}")
    for name, text in count.failed:
        print(f"FAILED   {name}\n{text}")
    print(f"{count.passed} passed, {len(count.failed)} failed, {len(count.skipped)} skipped")
    return 1 if count.failed or not count.passed else 0


sys.exit(main())
