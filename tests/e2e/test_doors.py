# SPDX-License-Identifier: ISC
"""A program in QEMU's place under the real bangerd finds nothing of its user's; tests/lab/test_doors.py has Firecracker."""
import os
import shutil

import pytest

import doors
from conftest import BUILD


@pytest.fixture
def listeners(tmp_path):
    found = doors.Listeners(str(tmp_path))
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    yield found
    found.close()


def test_in_place_of_qemu(make_user, boot_image, listeners):
    own = make_user("bg-doors")
    home, state = own.user.home, own.state
    program = shutil.copy(os.path.join(BUILD, "tests", "lib", "doors"), home)
    own.config(f'vmm = "qemu"\nqemu_bin = "{program}"\n')
    own.file(".bashrc", b"# the user's\n")
    own.assets(boot_image)
    own.banger.ok("vm", "create", "victim", "--image", "img", "--no-start")
    sock = own.banger.json("daemon", "status")["socket"]
    own.banger.ok("daemon", "stop")

    files = doors.user_files(home, f"{state}/vms/{os.listdir(state + '/vms')[0]}") + [home + "/rootfs.ext4"]
    tried = doors.env(home, files, listeners, sock)
    own.env = {**own.env, **tried}
    assert own.banger("vm", "create", "seized", "--image", "img").status != 0, "doors is no VMM"
    seized = own.banger.json("vm", "show", "seized")
    with open(f"{state}/vms/{seized['id']}/vmm.log") as f:
        found = doors.results(f.read())
    assert len(found) > 120, found
    assert doors.names(found) <= doors.QEMU, {d for d, is_open in found.items() if is_open and not d.startswith("stat")}

    # The same program by hand, as that user: what was shut was the seal's work. But bangerd's own processes hide from all.
    status = own.banger.json("daemon", "status")
    bare = own.run([program], env={**own.env, "DOORS_ENGINE": str(status["pid"]), "DOORS_MONITOR": str(status["monitor_pid"])},
                   capture_output=True, text=True, timeout=60)
    free = doors.results(bare.stdout)
    # a hidden process' files in /proc are root's; which signals it takes is not hidden
    hidden = {"descriptor", "memory-write", "memory-read", "environ", "maps", "fd-folder", "fd-link", "root", "vm-read", "ptrace"}
    assert doors.names(free, False) <= hidden | {"io-uring", "tun", "oom-score", "raise-limit"}, doors.names(free, False)
    assert not {d for d, is_open in free.items() if is_open and d.split(":")[0] in hidden}, free
    assert {"api-socket", "read", "write", "chmod", "kill", "set-owner", "fork", "exec"} <= doors.names(free)
