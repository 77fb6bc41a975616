# SPDX-License-Identifier: ISC
"""image build --from-image: packages from a mirror and a script, in a VM that is gone afterwards; VMs of the image have it all."""
import os
import shutil
import subprocess
import tempfile

import pytest

NEW, VM = "t-from", "t-from-vm"


@pytest.fixture
def clean(banger):
    def remove():
        for kind, name in (("vm", VM), ("vm", "build-" + NEW), ("image", NEW)):
            banger(kind, "delete", name)

    remove()
    yield
    remove()


@pytest.fixture
def script(banger):
    """Writes a script where the user can read it; its path."""
    folder = tempfile.mkdtemp(prefix="banger-t-from-")
    os.chmod(folder, 0o755)
    path = folder + "/script"

    def write(text):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    yield write
    shutil.rmtree(folder)


def names(banger, kind):
    return [r["name"] for r in banger.json(kind, "list")]


def test_a_script_makes_an_image(banger, clean, script):
    path = script("#!/bin/sh -eu\n[ $(id -u) = 0 ]\necho made >/etc/t-from\necho seed >/root/t-from\n"
                  "install -m 4755 /bin/true /usr/local/bin/t-setuid\necho script says hello\n")
    done = banger.ok("image", "build", "--name", NEW, "--from-image", "default", "--script", path, timeout=600)
    assert "script says hello" in done.err and f"{NEW} is made" in done.out
    assert "build-" + NEW not in names(banger, "vm")
    image = banger.json("image", "show", NEW)
    assert image["kernel"] == banger.json("image", "show", "default")["kernel"] and image["managed"]
    with open(image["paths"]["build_log"]) as f:
        assert "script says hello" in f.read()
    check = subprocess.run(["e2fsck", "-fn", image["paths"]["rootfs"]], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout

    banger.ok("vm", "create", VM, "--image", NEW)
    assert banger.ok("vm", "ssh", VM, "--", "cat /etc/t-from /root/t-from; stat -c %a /usr/local/bin/t-setuid").out \
        == "made\nseed\n4755\n"
    assert banger.ok("vm", "ssh", VM, "--", "ls /var/tmp/banger-build-script || echo gone").out == "gone\n"
    banger.fails(4, "is used by", "image", "delete", NEW)


def test_a_step_that_fails_leaves_nothing(banger, clean, script):
    path = script("echo so far so good\nfalse\necho never\n")
    done = banger.fails(1, "failed with status 1", "image", "build", "--name", NEW, "--from-image", "default", "--script", path,
                        timeout=600)
    assert "image-build-" + NEW in done.err and "never" not in done.err and "so far so good" in done.err
    assert NEW not in names(banger, "image") and "build-" + NEW not in names(banger, "vm")


def test_what_is_wrong_is_said_before_anything_is_made(banger, clean):
    build = ("image", "build", "--name", NEW)
    banger.fails(2, "say what to add", *build, "--from-image", "default")
    banger.fails(2, "--script: /nowhere", *build, "--from-image", "default", "--script", "/nowhere")
    banger.fails(3, "nothere", *build, "--from-image", "nothere", "--docker")
    banger.fails(4, "already", "image", "build", "--name", "default", "--from-image", "default", "--docker")
    assert names(banger, "vm") == [n for n in names(banger, "vm") if not n.startswith("build-")]
