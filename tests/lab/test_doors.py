# SPDX-License-Identifier: ISC
"""A program in the VMM's place under the real bangerd with KVM, on Debian 12's own kernel: as tests/e2e/test_doors.py, and
in Firecracker's place; and the seal's C test on that kernel."""
import glob
import json
import os
import re
import shutil

import pytest

import doors
from labhost import ASSETS, BUILD, Dev, run


@pytest.fixture(scope="module")
def listeners(tmp_path_factory):
    folder = "/run/doors"
    os.makedirs(folder, exist_ok=True)
    found = doors.Listeners(folder)
    yield found
    found.close()


@pytest.mark.parametrize("vmm, log, allowed", [("qemu", "vmm.log", doors.QEMU), ("firecracker", "serial.log", doors.FIRECRACKER)])
def test_finds_nothing(helper_installed, listeners, vmm, log, allowed):
    with Dev("doors-" + vmm) as user:
        program = shutil.copy(f"{BUILD}/tests/lib/doors", f"{user.home}/{vmm}")
        state = f"{user.home}/.local/state/banger"
        user.run(["touch", f"{user.home}/.bashrc"], check=True)
        user.config(f'vmm = "{vmm}"\n{vmm}_bin = "{program}"\n')
        user.banger("kernel", "import", f"{ASSETS}/kernel.deb", "--name", "debian")
        base = user.own_image("guest", "plain")
        user.banger("vm", "create", "victim", "--image", "plain", "--kernel", "debian", "--no-start")
        sock = json.loads(user.banger("daemon", "status", "--json"))["socket"]
        user.banger("daemon", "stop")
        tried = doors.env(user.home, doors.user_files(user.home, glob.glob(f"{state}/vms/*")[0]) + [base], listeners, sock)
        out = user.run(["env", *(f"{k}={v}" for k, v in tried.items()), "banger", "vm", "create", "seized", "--image", "plain",
                        "--kernel", "debian"], timeout=200, capture_output=True, text=True)
        assert out.returncode != 0, "doors is no VMM"
        logs = [p for p in glob.glob(f"{state}/vms/*/{log}") if os.path.getsize(p)]
        assert len(logs) == 1, (logs, out.stderr)
        with open(logs[0]) as f:
            found = doors.results(f.read())
        user.banger("daemon", "stop")
    assert len(found) > 120, found
    if vmm == "firecracker":  # the image is its VM's read-only disk (guest-cow), which it opens by its path
        assert found.pop(f"read:{os.path.basename(base)}")
    assert doors.names(found) <= allowed, {d for d, is_open in found.items() if is_open and not d.startswith("stat")}


def test_on_this_kernel(member):
    """Landlock's ABI is 2 here, where signals and sockets are the filter's alone."""
    out = run([f"{BUILD}/tests/driver/test_driver_doors"], timeout=300, env={**os.environ, "BANGER_BUILD": BUILD})
    assert re.search(r"^ok \d+ - in_place_of_qemu$", out, re.M) and re.search(r"^ok \d+ - in_place_of_firecracker$", out, re.M), out
    assert "not ok" not in out, out
