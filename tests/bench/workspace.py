# SPDX-License-Identifier: ISC
"""vm workspace prepare with 10,000 files into a real guest: the first time, with 10 changed files, with none; as ratios of
the first. Root, after scripts/quickstart (BANGER_USER as there):  python3 tests/bench/workspace.py [VM]"""
import json
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BANGER = os.path.join(os.environ.get("BANGER_BUILD", os.path.join(ROOT, "build")), "cli", "banger")
MAKE = r"""
rm -rf ~/bench-repo && mkdir ~/bench-repo && cd ~/bench-repo && git init -q -b main .
for d in $(seq 100); do mkdir d$d; for f in $(seq 100); do echo d$d/f$f; done; done |
while read -r name; do printf '%s\n' $name $RANDOM $RANDOM $RANDOM >$name; head -c 3000 /dev/urandom | base64 >>$name; done
git add -A && git -c user.name=A -c user.email=a@b commit -q -m one
"""


def as_user(*argv):
    done = subprocess.run([os.path.join(ROOT, "scripts", "as-user"), *argv], capture_output=True, text=True)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout


def sync(vm, path):
    record = json.loads(as_user(BANGER, "vm", "workspace", "prepare", vm, path, "--guest-path", "/root/bench-repo", "--json"))
    return record["elapsed_ms"], len(record["sent"]), record["bytes"]


def main():
    vm = sys.argv[1] if len(sys.argv) > 1 else "hello"
    as_user("bash", "-c", MAKE)
    path = as_user("sh", "-c", "echo -n ~/bench-repo")
    as_user(BANGER, "vm", "exec", vm, "--", "rm", "-rf", "/root/bench-repo")
    first = sync(vm, path)
    as_user("bash", "-c", "cd ~/bench-repo; for d in $(seq 10); do echo more >>d$d/f$d; done")
    second, third = sync(vm, path), sync(vm, path)
    print(f"bench: vm workspace prepare into {vm}, load {os.getloadavg()[0]:.1f}")
    for title, (ms, files, size) in (("first", first), ("10 files changed", second), ("nothing changed", third)):
        print(f"  {title:<20} {files:>6} files {size / 1e6:>8.1f} MB {ms:>8} ms   {ms / first[0]:.3f} of the first")
    as_user(BANGER, "vm", "exec", vm, "--", "rm", "-rf", "/root/bench-repo")
    as_user("sh", "-c", "rm -rf ~/bench-repo")


main()
