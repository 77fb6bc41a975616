# SPDX-License-Identifier: ISC
"""The flatten job against umoci: needs root (umoci unpacks, images are mounted), else skipped with that reason."""
import os
import shutil
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "lib")]

from hostuser import HostUser, is_root  # noqa: E402

TOOLS = ["umoci", "mmdebstrap", "e2fsck", "zstd", "mount", "tar"]


def pytest_collection_modifyitems(items):
    missing = [t for t in TOOLS if not shutil.which(t, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    reason = None if is_root() else "needs root: umoci unpacks with owners, and the image is mounted"
    if missing:
        reason = "not installed: " + " ".join(missing)
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def scratch(tmp_path):
    """pytest would keep the images of the last runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session")
def user():
    with HostUser("bgt-flat") as u:
        # The build tree may lie where only root gets to.
        u.worker = shutil.copy(os.path.join(os.environ.get("BANGER_BUILD", "build"), "worker/banger-worker"), u.home)
        os.chmod(u.worker, 0o755)
        yield u
