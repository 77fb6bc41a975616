# SPDX-License-Identifier: ISC
"""A container image, without init and ssh server: its own package manager brings them in, from a mirror that the guest reaches by NAT."""
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, PORT, ROOT, WORLD, as_user, outside, wait_for

IMAGE = "t-container"
PACKAGES = ["openssh-server", "systemd-sysv", "dbus"]


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout


def fill_mirror(tree, mirror):
    """What apt fetches for PACKAGES goes into the mirror, with an index."""
    sh("chroot", tree, "apt-get", "-qq", "update")
    sh("chroot", tree, "apt-get", "-qqy", "--no-install-recommends", "--download-only", "install", *PACKAGES)
    for name in os.listdir(f"{tree}/var/cache/apt/archives"):
        if name.endswith(".deb"):
            shutil.move(f"{tree}/var/cache/apt/archives/{name}", mirror)
    with open(f"{mirror}/Packages", "w") as f:
        subprocess.run(["dpkg-scanpackages", "."], cwd=mirror, check=True, stdout=f, stderr=subprocess.DEVNULL)


def use_mirror(tree):
    shutil.rmtree(f"{tree}/var/lib/apt/lists")
    shutil.rmtree(f"{tree}/etc/apt/sources.list.d", ignore_errors=True)
    with open(f"{tree}/etc/apt/sources.list", "w") as f:
        f.write(f"deb [trusted=yes] http://{WORLD}:{PORT} ./\n")


@pytest.fixture(scope="module")
def image(banger, tmp_path_factory):
    """A minimal Debian as a registered image; the folder with the mirror's web server runs beside it."""
    top = tmp_path_factory.mktemp("container")
    tree, mirror, rootfs = f"{top}/tree", f"{top}/mirror", "/tmp/banger-t-container.ext4"
    os.mkdir(mirror)
    sh("mmdebstrap", "--quiet", "--variant=minbase", "bookworm", tree)
    assert not os.path.exists(f"{tree}/sbin/init") and not os.path.exists(f"{tree}/usr/sbin/sshd")
    fill_mirror(tree, mirror)
    use_mirror(tree)
    sh("mkfs.ext4", "-q", "-F", "-d", tree, rootfs, "1G")
    shutil.rmtree(tree)
    shutil.chown(rootfs, as_user(["id", "-un"], capture_output=True, text=True).stdout.strip())
    banger("image", "delete", IMAGE)
    banger.ok("image", "register", "--name", IMAGE, "--rootfs", rootfs, "--kernel-ref", "debian")
    with outside(mirror):
        yield IMAGE
    banger.ok("image", "delete", IMAGE)
    os.unlink(rootfs)


@pytest.fixture
def name(banger):
    yield "t-container"
    banger("vm", "delete", "t-container")


def test_without_nat_it_runs_and_says_what_is_missing(banger, image, name):
    banger.ok("vm", "create", name, "--image", image)
    assert banger.ok("vm", "exec", name, "--", "cat", "/proc/1/comm").out == "banger-init\n"
    assert banger.json("vm", "show", name)["ssh"]["sshd"] is False
    banger.fails(4, "has no ssh server", "vm", "ssh", name, "--", "true")


def test_packages_bring_ssh_and_then_an_init(banger, image, name):
    banger.ok("vm", "create", name, "--image", image, "--nat", "--no-start")
    stages = banger.ok("vm", "start", name, timeout=600).err
    assert "packages" in stages
    assert banger.ok("vm", "ssh", name, "--", "cat", "/proc/1/comm").out == "banger-init\n"
    # the second start has nothing to bring in
    banger.ok("vm", "restart", name)
    log = banger.ok("vm", "logs", name).out
    assert log.count("bringing an ssh server in with /usr/bin/apt-get") == 1
    assert banger.ok("vm", "ssh", name, "--", "cat", "/proc/1/comm").out == "banger-init\n"


def test_with_init(banger, image, name):
    create = subprocess.Popen([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), "vm", "create", name,
                               "--image", image, "--nat", "--with-init"], stderr=subprocess.PIPE, text=True)
    try:
        # the agent answers meanwhile
        wait_for(lambda: banger("vm", "exec", name, "--", "sh", "-c", "grep -qx apt-get /proc/[0-9]*/comm").status == 0)
    finally:
        _, err = create.communicate(timeout=900)
    assert create.returncode == 0, err
    assert banger.ok("vm", "ssh", name, "--", "cat", "/proc/1/comm").out == "systemd\n"
    assert banger.ok("vm", "exec", name, "--", "systemctl", "is-active", "ssh").out == "active\n"
    banger.ok("vm", "stop", name)
