# SPDX-License-Identifier: ISC
"""banger's own kernel: that Debian's source takes its configuration; and where scripts/make-generic-kernel has made it, each of its
promises in a real Debian that runs it, docker included. tests/lab/test_generic_kernel.py has it under Firecracker."""
import glob
import os
import re
import subprocess
import tempfile

import pytest

from conftest import BUILD, ROOT, wait_for
from idle import looks

MADE = sorted(glob.glob(os.path.join(BUILD, "kernel", "vmlinuz-*-banger")))
NAME = "t-generic"


@pytest.fixture(scope="module")
def kernel(banger):
    """Imported under the name "t-generic"."""
    if not MADE:
        pytest.skip("scripts/make-generic-kernel was not run: it takes minutes")
    banger("kernel", "delete", NAME)
    banger.ok("kernel", "import", MADE[-1], "--name", NAME)
    yield NAME
    banger("kernel", "delete", NAME)


@pytest.fixture(scope="module")
def image(banger):
    """A Debian with docker and the tools that the checks want."""
    banger("image", "delete", NAME)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as packages:
        packages.write("docker.io iptables nftables busybox-static kmod\n")
        packages.flush()
        os.chmod(packages.name, 0o644)
        banger.ok("image", "build", "--name", NAME, "--kernel", "debian", "--packages", packages.name, timeout=900)
    yield NAME
    banger("image", "delete", NAME)


@pytest.fixture(scope="module")
def guest(banger, kernel, image):
    banger("vm", "delete", NAME)
    banger.ok("vm", "create", NAME, "--kernel", kernel, "--image", image)
    yield lambda command: banger.ok("vm", "ssh", NAME, "--", command).out
    banger("vm", "delete", NAME)


@pytest.fixture(scope="module")
def minimal(banger):
    banger("image", "delete", NAME + "-minimal")
    banger.ok("image", "build", "--name", NAME + "-minimal", "--kernel", "debian", "--minimal", timeout=900)
    yield NAME + "-minimal"
    banger("image", "delete", NAME + "-minimal")


def idle_wakes(banger, kernel, image, bound):
    """How often a second QEMU is woken by a guest that has started all it starts and is left alone: the least of some looks."""
    name = f"{NAME}-idle"
    banger("vm", "delete", "--force", name)
    banger.ok("vm", "create", name, "--kernel", kernel, "--image", image, "--cpus", "1")
    try:
        banger.ok("vm", "exec", name, "--", "sh", "-c", "systemctl is-system-running --wait; sync")
        return min(looks(banger.json("vm", "show", name)["pid"], bound))
    finally:
        banger("vm", "delete", "--force", name)


def test_an_idle_guest_sleeps(banger, kernel, minimal):
    """No tick while it is idle: a few wake-ups a second are left, all of programs."""
    seen = {image: idle_wakes(banger, kernel, image, bound) for image, bound in (("default", 5), (minimal, 2))}
    assert seen["default"] <= 5 and seen[minimal] <= 2, seen


def test_debians_source_takes_every_option():
    """Its own Kconfig keeps each line of generic.config, or the script names what it lost."""
    sources = sorted(glob.glob("/usr/src/linux-source-*.tar.xz"))
    if not sources:
        pytest.skip("Debian's linux-source (140 MB) is not installed; scripts/check brings it")
    p = subprocess.run([os.path.join(ROOT, "scripts", "make-generic-kernel"), "--config-only", sources[-1]],
                       capture_output=True, text=True, timeout=600)
    assert p.returncode == 0 and re.search(r"\d+ options asked, all taken", p.stdout), p.stderr


def test_every_promise(guest):
    with open(os.path.join(ROOT, "tests", "lib", "kernel-checks.sh")) as f:
        lines = guest(f.read()).splitlines()
    assert lines[-1] == "end" and len(lines) > 20, lines
    assert all(line.startswith("ok ") for line in lines[:-1]), [line for line in lines if not line.startswith("ok ")]


def test_docker(banger, guest):
    wait_for(lambda: banger("vm", "ssh", NAME, "--", "docker info").status == 0)
    assert guest("docker info --format '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2\n"
    guest("tar -C / -c bin/busybox | docker import - tiny")
    assert guest("docker run --rm --memory 32m --cpus 0.5 --pids-limit 20 tiny /bin/busybox cat /sys/fs/cgroup/memory.max") == f"{32 << 20}\n"
    assert "1 packets received" in guest("docker run --rm tiny /bin/busybox ping -c 1 -w 20 172.17.0.1")
    guest("docker run -d --name web -p 8080:80 tiny /bin/busybox httpd -f -h /bin")
    fetch = ("a=$(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'); "
             "busybox wget -T 20 -qO - http://$a:8080/busybox | cmp - /bin/busybox")
    wait_for(lambda: banger("vm", "ssh", NAME, "--", fetch).status == 0, 120)
    guest("docker rm -f web")
