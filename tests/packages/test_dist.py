# SPDX-License-Identifier: ISC
"""`meson dist`: a tarball that is the same twice, has what git has, and builds by itself. Minutes: only in `check packages`."""
import hashlib
import os
import subprocess
import tarfile

import pytest

from conftest import SOURCE, run


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    """Of two clones at different places, made at different times."""
    made = []
    for name in ("one", "another-place"):
        top = tmp_path_factory.mktemp(name)
        clone = top / "banger"
        run("git", "-c", "safe.directory=*", "clone", "--quiet", SOURCE, str(clone))
        run("meson", "setup", "-Dtests=false", str(top / "build"), str(clone))
        run("meson", "dist", "-C", str(top / "build"), "--no-tests", "--formats", "xztar")
        made.append({end: next(top / "build/meson-dist" / f for f in os.listdir(top / "build/meson-dist") if f.endswith(end)) for end in (".tar.xz",)})
    return made


def test_the_same_twice(tarballs):
    assert digest(tarballs[0][".tar.xz"]) == digest(tarballs[1][".tar.xz"])


def test_it_has_what_git_has(tarballs):
    with tarfile.open(tarballs[0][".tar.xz"]) as t:
        files = {m.name.split("/", 1)[1] for m in t.getmembers() if not m.isdir()}
    tracked = set(run("git", "-c", "safe.directory=*", "-C", SOURCE, "ls-files").stdout.split("\n")) - {""}
    assert files == tracked


def test_it_builds_and_installs_to_usr_local(tarballs, tmp_path):
    """Without git, as from a release."""
    run("tar", "-xf", str(tarballs[0][".tar.xz"]), "-C", str(tmp_path))
    top = tmp_path / os.listdir(tmp_path)[0]
    run("meson", "setup", "-Dtests=false", "--prefix=/usr/local", str(top / "build"), str(top))
    run("ninja", "-C", str(top / "build"))
    run("meson", "install", "-C", str(top / "build"), "--quiet", env={**os.environ, "DESTDIR": str(tmp_path / "root")})
    banger = tmp_path / "root/usr/local/bin/banger"
    assert subprocess.run([str(banger), "version"], capture_output=True, text=True).returncode == 0
