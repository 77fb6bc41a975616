# SPDX-License-Identifier: ISC
"""Suspend and resume against a cold boot of the same guest, in turns in one run: the ratio survives a noisy machine.

    scripts/as-user /usr/bin/python3 tests/bench/bench_suspend.py NAME [ROUNDS]

NAME is a VM of that user, which is stopped and started. A round is a stop, a start until `vm exec true` has answered, a suspend,
and a resume until the same. Nothing is asserted here.
"""
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BANGER = os.path.join(os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build")), "cli", "banger")


def banger(*args):
    return subprocess.run([BANGER, *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def timed(*commands):
    began = time.perf_counter()
    for args in commands:
        banger(*args)
    return time.perf_counter() - began


def stopped_for(name):
    """Seconds from the guest's stop until its memory is on the disk and the row says so: the stage "save"."""
    found = next(o for o in json.loads(banger("op", "list", "--all", "--json")) if o["kind"] == "vm.suspend" and o["target"] == name)
    return next(s["ms"] for s in found["stages"] if s["name"] == "save") / 1000


def main():
    name, rounds = sys.argv[1], int((sys.argv[2:] + ["3"])[0])
    exec_true = ("vm", "exec", name, "--", "true")
    boots, suspends, saves, resumes = [], [], [], []
    for _ in range(rounds):
        banger("vm", "stop", name)
        boots.append(timed(("vm", "start", name), exec_true))
        suspends.append(timed(("vm", "suspend", name)))
        saves.append(stopped_for(name))
        size = json.loads(banger("vm", "show", name, "--json"))["suspended_bytes"]
        resumes.append(timed(("vm", "resume", name), exec_true))
    boot, suspend, save, resume = (statistics.median(x) for x in (boots, suspends, saves, resumes))
    print(f"  suspend, p50 of {rounds}: {suspend * 1e3:.0f} ms, guest stopped and saved {save * 1e3:.0f} ms, {size >> 20} MiB on the disk")
    print(f"  to vm exec true: from stopped {boot:.2f} s, from suspended {resume:.2f} s: {boot / resume:.0f} times", flush=True)


if __name__ == "__main__":
    main()
