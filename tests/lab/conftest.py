# SPDX-License-Identifier: ISC
"""Shared by the tests that run as root inside the lab host. Outside it they skip: run scripts/lab.

A test marked boot(2) runs after the machine's reboot, which happens once all tests of boot 1 are done and only when
there is such a test; what it must know from before lies in labhost.KEEP.
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))

import labhost  # noqa: E402
from hostuser import HostUser  # noqa: E402

MORE_BOOTS = "/var/lib/lab/more"


def pytest_configure(config):
    config.addinivalue_line("markers", "boot(n): runs in the lab host's nth boot, 1 when not given")


def boot_of(item):
    mark = item.get_closest_marker("boot")
    return mark.args[0] if mark else 1


def pytest_collection_modifyitems(config, items):
    if not labhost.INSIDE:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="not inside the lab host: run scripts/lab"))
        return
    now = labhost.BOOT
    config.hook.pytest_deselected(items=[i for i in items if boot_of(i) != now])
    if any(boot_of(i) > now for i in items):
        open(MORE_BOOTS, "w").close()
    items[:] = [i for i in items if boot_of(i) == now]


@pytest.fixture(scope="session")
def helper_installed():
    """The network helper as scripts/install-helper installs it."""
    labhost.run(["scripts/install-helper", "build"], cwd=labhost.SOURCE)


@pytest.fixture(scope="session")
def member(helper_installed):
    """An ordinary user that may use banger: in groups banger and kvm."""
    with HostUser("lab-member", ["banger", "kvm"]) as user:
        yield user


@pytest.fixture(scope="session")
def outsider(helper_installed):
    """An ordinary user in no group."""
    with HostUser("lab-outsider") as user:
        yield user


@pytest.fixture(scope="session")
def disk_dev(helper_installed):
    """A developer with the disk helper, a kernel and the image "plain": what most tests of VMs begin with."""
    labhost.run(["scripts/install-helper", "--disk", "build"], cwd=labhost.SOURCE)
    with labhost.Dev("diskdev") as user:
        user.config('boots_at_once = 64\nstorage = "dm-snapshot"\n')  # test_many.py holds twenty in the middle of their boots
        user.banger("kernel", "import", f"{labhost.ASSETS}/kernel.deb", "--name", "debian")
        user.own_image("guest", "plain")
        yield user
        user.banger("daemon", "stop", "--cancel")
