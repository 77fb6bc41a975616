# SPDX-License-Identifier: ISC
"""Runs the lab suite: image, VMs, tests inside them, results back. Called by scripts/lab, which built the tree before.

Each machine has one processor (vm.py says why). The whole suite is dealt to as many as this host has processors and memory for, file by
file, so that none waits long for another: a file that takes much says so with a line "MINUTES = 6". One with a line "BY_NAME = True" is
left out then; it runs when it is named.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import xml.etree.ElementTree as ET

import firecracker
import image
import vm

ROOT = pathlib.Path(__file__).resolve().parents[3]
MAX_BOOTS = 4
MAX_MACHINES = 2
TIMEOUT_S = 1500
# Test programs that the lab uses beside what is installed.
TEST_PROGRAMS = ("tests/lib", "tests/priv", "tests/driver")


def note(text):
    print(f"lab: {text}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/lab", description="Runs tests/lab in a Debian host of its own, in QEMU.")
    parser.add_argument("--build", default=os.environ.get("BANGER_BUILD_DIR", str(ROOT / "build")), help="the built tree")
    parser.add_argument("--junit", metavar="FILE", help="where the JUnit XML goes")
    parser.add_argument("--logs", metavar="DIR", help="where consoles and logs go (default: BUILD/lab)")
    parser.add_argument("--timeout", type=int, default=0, metavar="SEC", help="for each machine (default 1500, or what the tests ask for)")
    parser.add_argument("--memory", type=int, default=4096, metavar="MIB", help="of each machine")
    parser.add_argument("--machines", type=int, default=0, metavar="N", help="that share the tests (default: what this host has room for)")
    parser.add_argument("--shell", action="store_true", help="a root shell in the lab host instead of its tests")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="a file of tests/lab with or without its ending, FILE::TEST")
    return parser.parse_args()


def test_paths(names):
    """tests/lab/test_x.py[::case] for each."""
    paths = []
    for name in names:
        file, sep, case = name.partition("::")
        file = pathlib.Path(file).name.removesuffix(".py")
        file = file if file.startswith("test_") else "test_" + file
        path = f"tests/lab/{file}.py"
        if not (ROOT / path).exists():
            sys.exit(f"scripts/lab: there is no {path}")
        paths.append(path + sep + case)
    return paths


def file_of(test):
    """The file of tests/lab/test_x.py[::case]."""
    return ROOT / test.partition("::")[0]


def minutes(path):
    """What a file of tests takes on an idle host, about."""
    told = re.search(r"^MINUTES = (\d+)", path.read_text(), re.M)
    return int(told[1]) if told else 1


def by_name(path):
    """Whether it only runs when it is named: it takes too long for a run of all."""
    return bool(re.search(r"^BY_NAME = True$", path.read_text(), re.M))


def timeout_of(args):
    """A file that runs by name may take long: twice what it says."""
    asked = [2 * 60 * minutes(file_of(path)) for path in test_paths(args.tests) if by_name(file_of(path))]
    return args.timeout or max([TIMEOUT_S, *asked])


def machines_of(args):
    """How many: one for what was named, else what processors and memory allow."""
    if args.tests or args.shell:
        return 1
    with open("/proc/meminfo") as info:
        available = next(int(line.split()[1]) >> 10 for line in info if line.startswith("MemAvailable"))
    return args.machines or max(1, min(MAX_MACHINES, os.cpu_count(), available // (args.memory + 1024)))


def deal(count):
    """All files of tests in as many hands, the longest first, each to the hand that has least."""
    hands = [[0, []] for _ in range(count)]
    every = [path for path in (ROOT / "tests/lab").glob("test_*.py") if not by_name(path)]
    for path in sorted(every, key=lambda p: (-minutes(p), p.name)):
        hand = min(hands, key=lambda h: h[0])
        hand[0] += minutes(path)
        hand[1].append(str(path.relative_to(ROOT)))
    return [files for _, files in hands]


def installed(build, stage):
    """What `meson install` puts on a host, under stage."""
    subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", str(stage)],
                   check=True, stdout=subprocess.DEVNULL)


def programs(build):
    for folder in TEST_PROGRAMS:
        for path in sorted((build / folder).glob("*")):
            if path.is_file() and os.access(path, os.X_OK):
                yield path
    yield build / "privhelper/banger-privhelper"
    yield build / "privhelper/banger-privhelper-disk"
    yield build / "privhelper/banger-keeper"
    yield build / "launcher/banger-launch"
    # What scripts/make-generic-kernel left, if it was run
    yield from sorted((build / "kernel").glob("vmlinuz-*-banger"))[-1:]


def owned_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def pack(build, stage, work, tests, timeout, brought):
    """The input disk: src/ is the checkout with the build in it, install/ what is installed (stage), bin/ other programs."""
    (work / "args").write_text("\n".join(tests) + "\n")
    # The lab ends its tests itself before its own end, so that what they said comes back.
    (work / "env").write_text(f"LAB_DEADLINE={max(timeout - 60, timeout // 2)}\n")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout
    with tarfile.open(work / "in.tar", "w") as tar:
        def add(path, name):
            tar.add(path, name, filter=owned_by_root)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).exists():
                add(ROOT / name, "src/" + name)
        for path in programs(build):
            add(path, f"src/build/{path.relative_to(build)}")
        for path in (work / "args", work / "env", stage):
            add(path, path.name)
        for path, name in brought:
            add(path, "bin/" + name)
    return work / "in.tar"


def broken_suite(text):
    """What is counted when the machine itself failed."""
    suite = ET.Element("testsuite", name="lab", tests="1", failures="0", errors="1")
    case = ET.SubElement(suite, "testcase", classname="tests.lab.machine", name="run")
    error = ET.SubElement(case, "error", message="the lab host did not finish its tests")
    error.text = "".join(c for c in text if c == "\n" or c >= " ")
    return suite


class Run:
    """One machine with its share of the tests, over all boots that they ask for."""

    def __init__(self, machine, tests, timeout, logs):
        self.machine, self.tests, self.timeout, self.logs = machine, tests, timeout, logs
        self.complete = False
        logs.mkdir(parents=True)
        # A thread of its own waits for it. When this process ends early, QEMU ends with it.
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        self.complete = self._boots()
        for path in (self.machine.console, self.machine.progress, self.machine.qemu_log):
            shutil.copy(path, self.logs / path.name)

    def _boots(self):
        """True when each boot handed over its results."""
        for boot in range(1, MAX_BOOTS + 1):
            with self.machine.boot():
                ended = self.machine.follow(self.timeout)
            names = self.machine.fetch(self.logs)
            if not ended or f"ended{boot}" not in names:
                return False
            if f"reboot{boot}" not in names:
                return True
        return False

    def report(self):
        """The JUnit suites of all boots, and whether all is well."""
        suites = [s for path in sorted(self.logs.glob("boot*.xml")) for s in ET.parse(path).getroot().iter("testsuite")]
        if not self.complete or not suites:
            suites.append(broken_suite(self.machine.tail()))
        ok = not any(int(s.get(k, "0")) for s in suites for k in ("failures", "errors"))
        if not ok:
            print(f"--- the end of the lab's console ({self.logs}/console.log)\n{self.machine.tail()}")
        figures = self.logs / "figures.log"
        for line in figures.read_text().splitlines() if figures.exists() else []:
            note(line)
        return suites, ok


def write_junit(path, suites):
    root = ET.Element("testsuites")
    root.extend(suites)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def failed_files(run, suites):
    """Files of the run's tests that did not pass; all of them when their machine did not get to its end."""
    if not run.complete:
        return run.tests
    bad = {case.get("classname", "").split(".")[-1] for suite in suites for case in suite.iter("testcase")
           if case.find("failure") is not None or case.find("error") is not None}
    return [path for path in run.tests if file_of(path).stem in bad]


def passed_part(suites, files):
    """The suites without the cases of those files, and without what told of a machine that failed."""
    stems = {file_of(path).stem for path in files}
    for suite in suites:
        for case in list(suite.iter("testcase")):
            if case.get("classname", "").split(".")[-1] in stems or case.get("classname") == "tests.lab.machine":
                suite.remove(case)
        cases = list(suite.iter("testcase"))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
        suite.set("tests", str(len(cases)))
    return suites


class Lab:
    """One call of scripts/lab: what is the same for all its machines."""

    def __init__(self, args, build, work, logs):
        self.args, self.build, self.work, self.logs = args, build, work, logs
        self.host = image.need(note)
        self.stage = work / "install"
        installed(build, self.stage)
        self.brought = [(path, "firecracker") for path in [firecracker.need(image.cache_dir(), note)] if path]

    def machine(self, name, tests, timeout):
        place = self.work / name
        place.mkdir()
        tar = pack(self.build, self.stage, place, tests, timeout, self.brought)
        return vm.Machine(name, self.host, place, tar, self.args.shell, self.args.memory)

    def round(self, hands, timeout):
        """[(run, its suites, whether all is well)] of one machine for each hand."""
        runs = [Run(self.machine(name, tests, timeout), tests, timeout, self.logs / name) for name, tests in hands]
        for run in runs:
            run.thread.start()
        for run in runs:
            run.thread.join()
        return [(run, *run.report()) for run in runs]

    def run(self, hands):
        """True when all tests have passed. What failed is tried once more on a machine of its own, and said to be: emulation in emulation
        on a host that others use starves its guests at times. There is no second try of the second try, nor beyond the time of one machine."""
        began = time.monotonic()
        done = self.round([(f"lab{i}", tests) for i, tests in enumerate(hands, 1)], self.args.timeout)
        again = [path for run, suites, ok in done if not ok for path in failed_files(run, suites)]
        left = int(self.args.timeout - (time.monotonic() - began))
        suites = [suite for _, some, _ in done for suite in some]
        ok = all(ok for _, _, ok in done)
        if again and left > sum(minutes(file_of(path)) for path in again) * 60:
            note(f"failed, and tried once more: {' '.join(again)}")
            (run, more, ok), = self.round([("again", again)], left)
            suites = passed_part(suites, again) + more
            note(f"at the second try {'all of it passed' if ok else 'it failed, too'}")
        write_junit(pathlib.Path(self.args.junit) if self.args.junit else self.logs / "lab.xml", suites)
        note(f"{'done' if ok else 'not well'} after {time.monotonic() - began:.0f} s; logs in {self.logs}")
        return ok


def main():
    args = arguments()
    args.timeout = timeout_of(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything made is removed
    build = pathlib.Path(args.build).resolve()
    if not (build / "build.ninja").exists():
        sys.exit(f"scripts/lab: {build} is not a built tree")
    hands = [test_paths(args.tests)] if args.tests or args.shell else deal(machines_of(args))
    logs = pathlib.Path(args.logs or build / "lab").resolve()
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="banger-lab-") as work:
        lab = Lab(args, build, pathlib.Path(work), logs)
        if args.shell:
            machine = lab.machine("lab1", hands[0], args.timeout)
            with machine.boot():
                return machine.proc.wait()
        return 0 if lab.run(hands) else 1


sys.exit(main())
