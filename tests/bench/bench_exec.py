# SPDX-License-Identifier: ISC
"""exec and cp against ssh and scp to the same VM, in turns in one run: the ratio survives a noisy machine.

    scripts/as-user /usr/bin/python3 tests/bench/bench_exec.py NAME [ROUNDS] [MIB]

NAME is a running VM of that user with an ssh server. MIB 0 leaves the copies out. Nothing is asserted here.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BANGER = os.path.join(os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build")), "cli", "banger")


def timed(argv):
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def ssh_options(vm):
    ssh = vm["ssh"]
    return ["-q", "-o", f"IdentityFile={ssh['key']}", "-o", f"UserKnownHostsFile={ssh['known_hosts']}", "-o",
            f"HostKeyAlias={vm['name']}", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]


def round_trips(name, vm, rounds):
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(timed([BANGER, "vm", "exec", name, "--", "true"]))
        theirs.append(timed(["ssh", *ssh_options(vm), f"root@{vm['address']}", "true"]))
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"  vm exec true, p50 of {rounds}: {a * 1e3:.1f} ms;  ssh true: {b * 1e3:.1f} ms;  {b / a:.1f} times", flush=True)


def copies(name, vm, mib):
    with tempfile.NamedTemporaryFile(delete=False) as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))
    try:
        for title, ours, theirs in (
                ("into the VM", [f.name, f"{name}:/var/tmp/bench"], [f.name, f"root@{vm['address']}:/var/tmp/bench"]),
                ("out of it", [f"{name}:/var/tmp/bench", f.name], [f"root@{vm['address']}:/var/tmp/bench", f.name])):
            a = timed([BANGER, "vm", "cp", *ours])
            b = timed(["scp", *ssh_options(vm), *theirs])
            print(f"  {mib} MiB {title}: vm cp {a:.1f} s;  scp {b:.1f} s;  {b / a:.1f} times", flush=True)
        subprocess.run([BANGER, "vm", "exec", name, "--", "rm", "/var/tmp/bench"], check=True)
    finally:
        os.unlink(f.name)


def main():
    name = sys.argv[1]
    rounds, mib = (int(n) for n in (sys.argv[2:] + ["20", "200"][len(sys.argv) - 2:]))
    vm = json.loads(subprocess.run([BANGER, "vm", "show", name, "--json"], check=True, capture_output=True).stdout)
    print(f"bench_exec: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    round_trips(name, vm, rounds)
    if mib:
        copies(name, vm, mib)


if __name__ == "__main__":
    main()
