# SPDX-License-Identifier: ISC
"""An image's way to another user: exported, imported, booted; and what a crash, a cut or a wrong sum leaves, which is nothing."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import BOOT_S, wait_for


@pytest.fixture(scope="module")
def bundle(banger, tmp_path_factory):
    """quickstart's image with its kernel, as a file that all can read."""
    folder = tmp_path_factory.mktemp("bundle")
    os.chmod(folder, 0o777)
    for parent in (folder.parent, folder.parent.parent):
        os.chmod(parent, 0o755)
    path = str(folder / "carried.tar.zst")
    out = banger.ok("image", "export", "default", path).out
    digest = out.split("sha256 ")[1].strip()
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0] == digest
    assert not os.path.exists(path + ".part")
    banger.fails(4, "is there already", "image", "export", "default", path)
    os.chmod(path, 0o644)
    return path, digest


def left(own):
    """Names of images and kernels, and their folders."""
    folders = [os.path.join(own.state, f) for f in ("images", "kernels")]
    return (own.banger.json("image", "list"), own.banger.json("kernel", "list"),
            [name for f in folders if os.path.isdir(f) for name in os.listdir(f)])


def engine(own):
    return own.banger.json("daemon", "status")["pid"]


def test_carried_to_another_user_and_booted(bundle, make_user):
    path, digest = bundle
    own = make_user("bgt-bundle")
    own.banger.fails(1, "not " + "0" * 64, "image", "import", path, "--sha256", "0" * 64)
    assert left(own) == ([], [], [])
    own.banger.ok("image", "import", path, "--sha256", digest)
    image = own.banger.json("image", "show", "carried")
    assert image["managed"] and image["owns_kernel"] and image["kernel"] == "carried" and image["modules"] > 500
    assert image["real_bytes"] < image["size_bytes"] + (80 << 20)
    own.banger.fails(4, "is used by carried", "kernel", "delete", "carried")
    own.banger.ok("vm", "create", "there", "--image", "carried")
    assert "there" in own.banger.ok("vm", "exec", "there", "--", "hostname").out
    own.banger.fails(4, "is used by there", "image", "delete", "carried")
    own.banger.ok("vm", "delete", "there")
    own.banger.ok("image", "delete", "carried")
    assert left(own) == ([], [], [])


def test_a_cut_bundle_leaves_nothing(bundle, make_user):
    own = make_user("bgt-bundle-cut")
    cut = shutil.copy(bundle[0], own.user.home + "/cut.tar.zst")
    os.truncate(cut, os.path.getsize(cut) // 2)
    own.banger.fails(2, "damaged archive", "image", "import", cut)
    assert left(own) == ([], [], [])


def test_kill_9_in_an_import_leaves_nothing(bundle, make_user):
    """The daemon dies while the worker unpacks: the next one removes what there is, and the same import works."""
    own = make_user("bgt-bundle-kill")
    own.banger.ok("daemon", "start")
    argv = [os.path.join(os.environ.get("BANGER_BUILD", "build"), "cli", "banger"), "image", "import", bundle[0]]
    rootfs = os.path.join(own.state, "images/carried/rootfs.ext4")
    running = subprocess.Popen(["setpriv", "--reuid", str(own.user.uid), "--regid", str(own.user.gid), "--clear-groups",
                                *argv], env=own.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(rootfs) and os.stat(rootfs).st_blocks > 0)
    os.kill(engine(own), signal.SIGKILL)
    running.wait(BOOT_S)
    own.banger("daemon", "stop")
    assert left(own) == ([], [], [])
    own.banger.ok("image", "import", bundle[0])
    assert [i["name"] for i in left(own)[0]] == ["carried"]


def test_registered_with_its_kernel_then_promoted(banger, make_user):
    own = make_user("bgt-promote")
    image = banger.json("image", "show", "default")
    kernel = banger.json("kernel", "show", image["kernel"])["path"]
    for source, name in ((image["paths"]["rootfs"], "rootfs.ext4"), (kernel, "vmlinuz")):
        os.chown(shutil.copy(source, os.path.join(own.user.home, name)), own.user.uid, own.user.gid)
    at = own.user.home
    own.banger.ok("image", "register", "--name", "mine", "--rootfs", at + "/rootfs.ext4", "--kernel", at + "/vmlinuz")
    record = own.banger.json("image", "show", "mine")
    assert not record["managed"] and record["owns_kernel"] and record["paths"]["rootfs"] == at + "/rootfs.ext4"
    own.banger.ok("image", "promote", "mine")
    record = own.banger.json("image", "show", "mine")
    assert record["managed"] and record["paths"]["rootfs"].startswith(own.state)
    assert subprocess.run(["cmp", record["paths"]["rootfs"], at + "/rootfs.ext4"]).returncode == 0
    own.banger.fails(4, "is a managed one already", "image", "promote", "mine")
    own.banger.ok("image", "delete", "mine")
    assert os.path.exists(at + "/rootfs.ext4") and left(own) == ([], [], [])
