# SPDX-License-Identifier: ISC
"""`image search`, `kernel search`, and a pull that finds catalogs by itself."""
import json

import pytest


def entry(kind, name, description, arch="x86_64"):
    return {"kind": kind, "name": name, "arch": arch, "url": name + ".bin", "sha256": "0" * 64, "size": 5 << 20, "description": description}


@pytest.fixture
def catalogs(host):
    """Two of them, and one that is not there."""
    host.write("one.json", json.dumps({"format": 1, "entries": [
        entry("image", "dev", "Debian with a compiler"), entry("kernel", "generic", "everything built in"), entry("image", "other", "", "arm64")]}))
    host.write("two.json", json.dumps({"format": 1, "entries": [entry("image", "small", "a busybox")]}))
    home = host.user.home
    host.write(".config/banger/config.toml", f'catalogs = "file://{home}/one.json file://{home}/gone.json file://{home}/two.json"\n')
    host.banger("daemon", "stop", ok=False)
    yield home
    host.write(".config/banger/config.toml", "")
    host.banger("daemon", "stop", ok=False)


def test_what_catalogs_offer(host, catalogs):
    r = host.banger("image", "search")
    assert "gone.json" in r.stderr and [line.split()[0] for line in r.stdout.splitlines()[1:]] == ["dev", "small"]
    assert [e["name"] for e in host.json("image", "search", "BUSY")] == ["small"]
    assert host.json("kernel", "search") == [{"name": "generic", "size": 5 << 20, "description": "everything built in",
                                              "catalog": f"file://{catalogs}/one.json"}]
    r = host.banger("image", "search", "nothing", ok=False)
    assert r.stdout == "" and 'matches "nothing"' in r.stderr


def test_without_catalogs(host):
    r = host.banger("kernel", "search")
    assert r.stdout == "" and "config.toml" in r.stderr
    assert host.json("image", "search") == []


def test_a_bare_name_is_looked_for_in_catalogs(host, catalogs):
    r = host.banger("image", "pull", "dev", ok=False)
    assert r.returncode and f"{catalogs}/dev.bin" in r.stderr, r.stderr
    r = host.banger("image", "pull", "127.0.0.1:9/dev", ok=False)
    assert "dev.bin" not in r.stderr and "127.0.0.1:9" in r.stderr
    assert host.images() == []
