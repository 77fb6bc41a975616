# SPDX-License-Identifier: ISC
"""Container images, without init and ssh server, pulled from a registry: what boots of them, and how their own package
manager brings the rest in, from a mirror that the guest reaches by NAT."""
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, PORT, ROOT, WORLD, busybox_tree, outside, wait_for
from registries import RealRegistry, tree_layout

NAME, MANAGER = "t-container", "installing missing packages"
PACKAGES = ["openssh-server", "systemd-sysv", "dbus"]
# What these want besides: in the image already, as dpkg is slow in a guest without KVM.
LIBRARIES = ["openssh-client", "openssh-sftp-server", "procps", "ucf", "libwrap0", "libnsl2", "libapparmor1", "libargon2-1", "libcryptsetup12",
             "libfdisk1", "libip4tc2", "libkmod2", "libp11-kit0", "adduser", "runit-helper", "dbus-bin", "dbus-daemon", "dbus-system-bus-common"]


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **kw).stdout


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield r
    r.close()


def pulled(banger, registry, folder, tree, name, **kw):
    """The folder tree as the container image team/NAME of the registry, from there as the image NAME."""
    registry.push(tree_layout(folder, tree, **kw), f"team/{name}:1")
    shutil.rmtree(folder)
    banger("image", "delete", name)
    banger.ok("image", "pull", f"{registry.host}/team/{name}:1", "--kernel-ref", "debian")
    assert banger.json("image", "show", name)["source"] == f"{registry.host}/team/{name}:1"
    return name


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
def debian(banger, registry, tmp_path_factory):
    """A minimal Debian; the mirror's web server runs beside it."""
    top, mirror = tmp_path_factory.mktemp("debian"), tmp_path_factory.mktemp("mirror")
    tree = f"{top}/tree"
    sh("mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(LIBRARIES), "bookworm", tree)
    assert not os.path.exists(f"{tree}/sbin/init") and not os.path.exists(f"{tree}/usr/sbin/sshd")
    fill_mirror(tree, mirror)
    use_mirror(tree)
    image = pulled(banger, registry, top, tree, "t-debian", env=["PATH=/opt/tool/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TOOL=1", "HOME=/app"])
    with outside(mirror):
        yield image
    banger.ok("image", "delete", image)


@pytest.fixture(scope="module")
def busybox(banger, registry, tmp_path_factory):
    top = tmp_path_factory.mktemp("busybox")
    busybox_tree(f"{top}/tree")
    yield pulled(banger, registry, top, f"{top}/tree", "t-busybox")
    banger.ok("image", "delete", "t-busybox")


@pytest.fixture
def gone(banger):
    banger("vm", "delete", NAME)
    yield
    banger("vm", "delete", NAME)


def pid1(banger, *how):
    return banger.ok("vm", *how, NAME, "--", "cat", "/proc/1/comm").out.strip()


def while_it_runs(banger, what, *args):
    """The end of a banger command, during which what() came true."""
    command = subprocess.Popen([os.path.join(ROOT, "scripts", "as-user"), os.path.join(BUILD, "cli", "banger"), *args],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(what)
        assert command.poll() is None
    finally:
        _, err = command.communicate(timeout=900)
    assert command.returncode == 0, err
    return err


def test_busybox_alone(banger, busybox, gone):
    """Nothing could bring ssh in, with NAT neither: that is said where it is asked for."""
    lack = f"{NAME} has no ssh server, nor a package manager that could bring one in"
    assert lack in banger.ok("vm", "create", NAME, "--image", busybox, "--nat").err
    assert pid1(banger, "exec") == "banger-init"
    banger.fails(4, lack, "vm", "ssh", NAME, "--", "true")
    assert "no package manager here" in banger.ok("vm", "logs", NAME).out
    banger.ok("vm", "stop", NAME)


def test_packages_bring_ssh_and_then_an_init(banger, debian, gone):
    """Without NAT it runs as it is; with NAT apt brings a server in, once."""
    assert f"{NAME} has no ssh server\n" in banger.ok("vm", "create", NAME, "--image", debian, "--no-nat").err
    assert pid1(banger, "exec") == "banger-init"
    assert banger.json("vm", "show", NAME)["ssh"]["sshd"] is False
    tell = [NAME, "--", "sh", "-c", "echo $TOOL $HOME $PATH"]
    assert banger.ok("vm", "exec", *tell).out == "1 /root /opt/tool/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    assert banger.ok("vm", "exec", "--env", "TOOL=2", *tell).out.startswith("2 /root /opt")
    banger.fails(4, f"{NAME} has no ssh server", "vm", "ssh", NAME, "--", "true")
    banger.ok("vm", "stop", NAME)
    banger.ok("vm", "set", NAME, "--nat")

    def apt_runs():
        """The agent answers meanwhile. Asked before that, exec would wait for the whole start."""
        return MANAGER in banger("op", "list").out and banger(
            "vm", "exec", NAME, "--", "sh", "-c", "grep -qx apt-get /proc/[0-9]*/comm").status == 0

    assert MANAGER in while_it_runs(banger, apt_runs, "vm", "start", NAME)
    assert pid1(banger, "ssh") == "banger-init"
    # the next start has nothing to bring in
    banger.ok("vm", "stop", NAME)
    assert MANAGER not in banger.ok("vm", "start", NAME).err
    assert pid1(banger, "ssh") == "banger-init"
    assert banger.ok("vm", "logs", NAME).out.count("bringing an ssh server in with /usr/bin/apt-get") == 1
    # an init comes when it is asked for
    banger.ok("vm", "set", NAME, "--with-init")
    banger.ok("vm", "stop", NAME)
    assert MANAGER in banger.ok("vm", "start", NAME, timeout=900).err
    assert pid1(banger, "ssh") == "systemd"
    assert banger.ok("vm", "exec", NAME, "--", "systemctl", "is-active", "ssh").out == "active\n"
    banger.ok("vm", "stop", NAME)
