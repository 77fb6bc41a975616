# SPDX-License-Identifier: ISC
"""What is installed: by `meson install`, by the packages."""
import os
import subprocess
import sys

import pytest

SOURCE = os.path.abspath(os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")))
BUILD = os.path.abspath(os.environ.get("BANGER_BUILD", os.path.join(SOURCE, "build")))
sys.path.insert(0, os.path.join(SOURCE, "tests/lib"))


def run(*argv, ok=True, **kw):
    r = subprocess.run(argv, capture_output=True, text=True, **kw)
    assert not ok or r.returncode == 0, f"{argv}: {r.returncode}\n{r.stdout}{r.stderr}"
    return r


@pytest.fixture(scope="session", autouse=True)
def needs_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes users, mounts and packages")


@pytest.fixture(scope="session")
def staged(tmp_path_factory):
    """A folder with what `meson install` laid there."""
    at = tmp_path_factory.mktemp("staged")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(at)})
    for path in (at, *at.parents[:2]):
        os.chmod(path, 0o755)
    return at
