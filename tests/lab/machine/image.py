# SPDX-License-Identifier: ISC
"""The lab host's image: made once per content of build-image and the package list, kept outside the tree."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KEPT = ("root.img", "vmlinuz", "modules.cpio")


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base) / "banger-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def packages():
    lines = (HERE / "packages").read_text().splitlines()
    return [line for line in (raw.split("#")[0].strip() for raw in lines) if line]


def key():
    digest = hashlib.sha256()
    digest.update("\n".join(packages()).encode())
    digest.update((HERE / "build-image").read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(cache):
    """One maker at a time; the other finds the image when its turn comes."""
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def as_root(argv):
    return list(argv) if os.geteuid() == 0 else ["sudo", *argv]


def make(cache, final):
    # Not in a folder that only its owner may enter: apt drops root inside the chroot it makes there.
    work = pathlib.Path(tempfile.mkdtemp(prefix="banger-lab-image-", dir="/var/tmp"))
    work.chmod(0o755)
    fresh = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        subprocess.run(as_root([str(HERE / "build-image"), str(work), *packages()]), check=True, timeout=900)
        for name in KEPT:
            # cp keeps the holes; the copy belongs to whoever runs the lab
            subprocess.run(["cp", "--sparse=always", str(work / name), str(fresh / name)], check=True)
        fresh.rename(final)
    finally:
        subprocess.run(as_root(["rm", "-rf", str(work)]), check=False)
        shutil.rmtree(fresh, ignore_errors=True)


def drop_others(cache, final):
    for path in cache.glob("image-*"):
        if path != final:
            shutil.rmtree(path, ignore_errors=True)


def need(note):
    """The folder of the image, made when it is not there."""
    cache = cache_dir()
    final = cache / f"image-{key()}"
    with locked(cache):
        if not final.is_dir():
            note(f"making the lab host's image, once: {final}")
            make(cache, final)
            drop_others(cache, final)
    return final
