# SPDX-License-Identifier: ISC
"""What was acknowledged is never lost: bangerd of a user of the tests, whose disk fails, loses its power or is damaged.

VMs are played by tests/lib/fake-vmm, all else is real. `scripts/check store` runs everything; the check runs of each file a share
(BANGER_STORE_SHARE=1; 5 is five times as much), another one each day.
"""
import os
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from hostuser import HostUser, is_root  # noqa: E402
from playedhost import BUILD, Host  # noqa: E402,F401
from waiting import wait_for  # noqa: E402,F401

SHARE = int(os.environ.get("BANGER_STORE_SHARE", 0))  # 0: all; else how many of the check's shares
DAY = int(time.time()) // 86400


def pytest_collection_modifyitems(items):
    for item in items:
        if not is_root():
            item.add_marker(pytest.mark.skip(reason="needs root: it makes a user to run bangerd as"))


def share_of(points, at_most):
    """All of them, or in the check's share some, spread over the whole, other ones each day."""
    points = list(points)
    if not SHARE or len(points) <= at_most:
        return points
    at_most *= SHARE
    step = max(1, len(points) // at_most)
    return points[DAY % step::step][:at_most]


@pytest.fixture
def user():
    with HostUser("bgt-store", groups=["banger"], loop_limit_ms=None) as u:
        yield u
        subprocess.run(["pkill", "-KILL", "-u", u.name])
