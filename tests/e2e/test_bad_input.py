# SPDX-License-Identifier: ISC
"""Each wrong thing gives one clear error with its exit status, and leaves nothing behind."""
import os
import shutil
import subprocess

import pytest

HELPER = "/usr/libexec/banger/banger-privhelper"


@pytest.fixture
def user(make_user, boot_image):
    own = make_user("bgt-bad")
    own.assets(boot_image)
    return own


def test_values(user):
    b = user.banger
    b.fails(3, 'no image named "nope"', "vm", "create", "a", "--image", "nope")
    b.fails(3, 'no kernel named "nope"', "vm", "create", "a", "--image", "img", "--kernel", "nope")
    b.fails(2, "Bad_Name", "vm", "create", "Bad_Name", "--image", "img")
    b.fails(2, "cpus", "vm", "create", "a", "--image", "img", "--cpus", "0")
    b.fails(2, "smaller than image", "vm", "create", "a", "--image", "img", "--disk-size", "16M")
    b.fails(3, 'no VM named "a"', "vm", "start", "a")
    assert b.json("vm", "list") == [] and user.leftovers() == []


def test_taken_name(user):
    user.banger.ok("vm", "create", "a", "--image", "img", "--no-start")
    user.banger.fails(4, 'a VM named "a" already', "vm", "create", "a", "--image", "img", "--no-start")
    assert len(user.banger.json("vm", "list")) == 1 and len(user.leftovers()) == 1


def test_kernel_that_is_none(user):
    kept = os.listdir(user.state + "/blobs")
    path = user.file("not-a-kernel", b"hello" * 1000)
    user.banger.fails(2, "not-a-kernel", "kernel", "import", path)
    user.banger.fails(2, "No such file", "kernel", "import", user.user.home + "/nowhere")
    assert [k["name"] for k in user.banger.json("kernel", "list")] == ["k"]
    assert kept and os.listdir(user.state + "/blobs") == kept and os.listdir(user.state + "/kernels") == ["k"]


def test_image_that_is_none(user):
    path = user.file("not-ext4", b"x" * 8192)
    user.banger.fails(2, "not an ext4", "image", "register", "--name", "i", "--rootfs", path)
    assert [i["name"] for i in user.banger.json("image", "list")] == ["img"]


def test_image_in_use(user):
    user.banger.ok("vm", "create", "a", "--image", "img", "--no-start")
    user.banger.fails(4, "used by a", "image", "delete", "img")
    user.banger.fails(4, "used by img, a", "kernel", "delete", "k")
    user.banger.ok("vm", "delete", "a")
    user.banger.ok("image", "delete", "img")
    user.banger.ok("kernel", "delete", "k")
    assert os.path.exists(user.user.home + "/rootfs.ext4")  # registered: stays where it lies


def kept_but_stopped(user, code):
    record = user.banger.json("vm", "show", "a")
    assert record["state"] == "stopped" and record["error"]["code"] == code, record
    user.banger.ok("vm", "delete", "a")
    assert user.leftovers() == []


def nothing_made(user):
    """What is known to fail is refused before a file is copied, and holds no name."""
    assert user.banger.json("vm", "list") == [] and user.leftovers() == []


def test_helper_missing(user):
    user.banger.ok("daemon", "stop")
    user.env["BANGER_PRIVHELPER"] = "/nowhere/banger-privhelper"
    user.banger.fails(5, "/nowhere/banger-privhelper", "vm", "create", "a", "--image", "img")
    nothing_made(user)


def test_helper_without_its_capability(user):
    folder = "/usr/libexec/banger-test"
    os.makedirs(folder, exist_ok=True)
    plain = shutil.copy(HELPER, folder)  # a copy has no file capability
    try:
        user.banger.ok("daemon", "stop")
        user.env["BANGER_PRIVHELPER"] = plain
        user.banger.fails(5, "lacks its file capability", "vm", "create", "a", "--image", "img")
        nothing_made(user)
    finally:
        shutil.rmtree(folder)


def test_user_not_in_the_group(make_user, boot_image):
    own = make_user("bgt-outsider", groups=())
    own.assets(boot_image)
    result = own.banger.fails(5, "banger", "vm", "create", "a", "--image", "img")
    assert "usermod -aG banger" in result.err
    nothing_made(own)


def test_disk_full_while_copying(make_user, boot_image):
    own = make_user("bgt-full")
    os.makedirs(own.state, mode=0o700)
    subprocess.run(["chown", "-R", own.user.name, own.user.home + "/.local"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=60m,uid={own.user.uid},mode=700", "none", own.state], check=True)
    try:
        own.config('storage = "copy"\n')
        own.assets(boot_image, data_mib=64)
        own.banger.fails(5, "no room for", "vm", "create", "a", "--image", "img")
        assert own.banger.json("vm", "list") == [] and own.leftovers() == []
    finally:
        own.end()
        subprocess.run(["umount", "-l", own.state], check=True)


def test_vmm_missing(user):
    user.banger.ok("daemon", "stop")
    user.config('vmm = "qemu"\nqemu_bin = "/nowhere/qemu"\n')
    result = user.banger.fails(5, "/nowhere/qemu", "vm", "create", "a", "--image", "img")
    assert "apt install" in result.err or "qemu_bin" in result.err
    nothing_made(user)


DIES = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return puts("QEMU emulator version 7.2.0") < 0;
	fputs("no such machine\n", stderr);
	return 1;
}
"""


def test_vmm_that_dies_at_once(user):
    """A program, not a script: a VMM is sealed and starts no other."""
    fake = user.file("qemu", mode=0o755)
    subprocess.run(["gcc", "-static", "-x", "c", "-o", fake, "-"], input=DIES, text=True, check=True)
    user.banger.ok("daemon", "stop")
    user.config(f'vmm = "qemu"\nqemu_bin = "{fake}"\n')
    result = user.banger.fails(1, "ended with status 1", "vm", "create", "a", "--image", "img")
    assert "banger vm logs --vmm a" in result.err
    assert "no such machine" in user.banger.ok("vm", "logs", "--vmm", "a").out
    kept_but_stopped(user, "vmm.died")


def test_guest_that_never_gets_ready(user):
    """Its kernel has no modules, so that it finds no disk; the VM is kept, and its logs are named."""
    user.banger.ok("daemon", "stop")
    user.config("boot_timeout = 1\n")
    result = user.banger.fails(6, "did not answer within 1 s", "vm", "create", "a", "--image", "img")
    assert "banger vm logs a" in result.err
    record = user.banger.json("vm", "show", "a")
    assert record["state"] == "running" and not record["ready"] and record["error"]["code"] == "vm.not_ready"
    user.banger.ok("vm", "delete", "a")
    assert user.leftovers() == []


def test_config_error_names_file_and_line(user):
    user.banger.ok("daemon", "stop")
    user.config('log_level = "info"\ncolour = "red"\n')
    user.banger.fails(2, "config.toml:2", "vm", "list")
    user.config("default_cpus = \"two\"\n")
    user.banger.fails(2, "config.toml:1", "vm", "list")
    user.config("")
    user.banger.ok("vm", "list")


def test_root_is_refused():
    result = subprocess.run([os.path.join(os.environ.get("BANGER_BUILD", "build"), "cli/banger"), "vm", "list"],
                            capture_output=True, text=True)
    assert result.returncode == 2 and "as-user" in result.stderr


def test_two_users_do_not_see_each_other(banger, make_user):
    hello = banger.json("vm", "show", "hello")
    other = make_user("bgt-other")
    assert other.banger.json("vm", "list") == []
    other.banger.fails(3, 'no VM named "hello"', "vm", "stop", "hello")
    socket = banger.ok("daemon", "socket").out.strip()
    seen = other.run(["python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({socket!r})"],
                     capture_output=True, text=True)
    assert "PermissionError" in seen.stderr
    assert other.run(["kill", "-9", str(hello["pid"])], capture_output=True).returncode != 0
    assert other.run(["cat", hello["paths"]["disk"]], capture_output=True).returncode != 0
    assert other.run(["cat", hello["ssh"]["key"]], capture_output=True).returncode != 0
    assert banger.json("vm", "show", "hello")["pid"] == hello["pid"]

