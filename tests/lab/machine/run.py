# SPDX-License-Identifier: ISC
"""Runs the lab suite: image, VM, tests inside it, results back. Called by scripts/lab, which built the tree before."""
import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET

import firecracker
import image
import vm

ROOT = pathlib.Path(__file__).resolve().parents[3]
MAX_BOOTS = 4
# Test programs that the lab uses beside what is installed.
TEST_PROGRAMS = ("tests/lib", "tests/priv", "tests/driver")


def note(text):
    print(f"lab: {text}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/lab", description="Runs tests/lab in a Debian host of its own, in QEMU.")
    parser.add_argument("--build", default=os.environ.get("BANGER_BUILD_DIR", str(ROOT / "build")), help="the built tree")
    parser.add_argument("--junit", metavar="FILE", help="where the JUnit XML goes")
    parser.add_argument("--logs", metavar="DIR", help="where consoles and logs go (default: BUILD/lab)")
    parser.add_argument("--timeout", type=int, default=1500, metavar="SEC", help="for the whole machine (default 1500)")
    parser.add_argument("--memory", type=int, default=4096, metavar="MIB")
    parser.add_argument("--shell", action="store_true", help="a root shell in the lab host instead of its tests")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="a file of tests/lab with or without its ending, FILE::TEST")
    return parser.parse_args()


def test_paths(names):
    """tests/lab/test_x.py[::case] for each; the whole folder for none."""
    paths = []
    for name in names:
        file, sep, case = name.partition("::")
        file = pathlib.Path(file).name.removesuffix(".py")
        file = file if file.startswith("test_") else "test_" + file
        path = f"tests/lab/{file}.py"
        if not (ROOT / path).exists():
            sys.exit(f"scripts/lab: there is no {path}")
        paths.append(path + sep + case)
    return paths or ["tests/lab"]


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


def owned_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def pack(build, work, tests, timeout, brought):
    """The input disk: src/ is the checkout with the build in it, install/ what is installed, bin/ other programs."""
    stage = work / "install"
    installed(build, stage)
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
        for name in ("args", "env", "install"):
            add(work / name, name)
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


def join_results(logs, junit, complete, tail):
    """One XML of all boots; True when every test passed and the machine did what it should."""
    suites = ET.Element("testsuites")
    for path in sorted(logs.glob("boot*.xml")):
        suites.extend(ET.parse(path).getroot().iter("testsuite"))
    if not complete or not len(suites):
        suites.append(broken_suite(tail))
    junit.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suites).write(junit, encoding="utf-8", xml_declaration=True)
    return not any(int(s.get(k, "0")) for s in suites for k in ("failures", "errors"))


def run_boots(machine, timeout, logs):
    """All boots that the lab asks for; True when each of them handed over its results."""
    for boot in range(1, MAX_BOOTS + 1):
        with machine.boot():
            ended = machine.follow(timeout)
        names = machine.fetch(logs)
        if not ended or f"ended{boot}" not in names:
            return False
        if f"reboot{boot}" not in names:
            return True
    return False


def run_tests(args, machine, logs):
    complete = run_boots(machine, args.timeout, logs)
    for path in (machine.console, machine.progress, machine.qemu_log):
        shutil.copy(path, logs / path.name)
    ok = join_results(logs, pathlib.Path(args.junit) if args.junit else logs / "lab.xml", complete, machine.tail())
    if not ok:
        print(f"--- the end of the lab's console ({logs}/console.log)\n{machine.tail()}")
    figures = logs / "figures.log"
    for line in figures.read_text().splitlines() if figures.exists() else []:
        note(line)
    note(f"{'done' if complete else 'not complete'} after {time.monotonic() - machine.started:.0f} s; logs in {logs}")
    return ok


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything made is removed
    build = pathlib.Path(args.build).resolve()
    if not (build / "build.ninja").exists():
        sys.exit(f"scripts/lab: {build} is not a built tree")
    tests = test_paths(args.tests)
    logs = pathlib.Path(args.logs or build / "lab").resolve()
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    host = image.need(note)
    brought = [(path, "firecracker") for path in [firecracker.need(image.cache_dir(), note)] if path]
    with tempfile.TemporaryDirectory(prefix="banger-lab-") as work:
        work = pathlib.Path(work)
        tar = pack(build, work, tests, args.timeout, brought)
        machine = vm.Machine(host, work, tar, args.shell, args.memory)
        if args.shell:
            with machine.boot():
                return machine.proc.wait()
        return 0 if run_tests(args, machine, logs) else 1


sys.exit(main())
