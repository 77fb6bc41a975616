# SPDX-License-Identifier: ISC
"""scripts/make-generic-kernel over a source that is three lines of make; publish-kernel and publish-image."""
import hashlib
import json
import os
import re
import subprocess

import pytest

SOURCE = os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "../../.."))
FRAGMENT = os.path.join(SOURCE, "packaging/kernel/generic.config")

# What make-generic-kernel asks of a kernel's Makefile. This one knows no CONFIG_LOST and turns CONFIG_STUBBORN on.
MAKEFILE = """
allnoconfig:
\tcp $(KCONFIG_ALLCONFIG) $(O)/.config
olddefconfig:
\tsed -i '/CONFIG_LOST/d; s/.*CONFIG_STUBBORN.*/CONFIG_STUBBORN=y/' $(O)/.config
"""


@pytest.fixture
def resolve(tmp_path):
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Makefile").write_text(MAKEFILE)

    def run(*options, source=tree):
        fragment = tmp_path / "fragment"
        fragment.write_text("".join(o + "\n" for o in options))
        return subprocess.run([os.path.join(SOURCE, "scripts/make-generic-kernel"), "--config-only", "--fragment",
                               fragment, source], capture_output=True, text=True, timeout=120)

    return run


def test_an_option_that_vanished_fails_by_name(resolve):
    p = resolve("CONFIG_NET=y # the network", "CONFIG_LOST=y # needs something", 'CONFIG_LSM="a,b"')
    assert p.returncode == 1
    assert "did not take: CONFIG_LOST=y\n" in p.stderr


def test_an_option_that_stayed_on_fails_by_name(resolve):
    p = resolve("CONFIG_NET=y", "# CONFIG_STUBBORN is not set # unwanted")
    assert p.returncode == 1
    assert "did not take: CONFIG_STUBBORN is not set\n" in p.stderr


def test_an_option_with_two_names_needs_one(resolve):
    assert "3 options asked, all taken" in resolve(
        "CONFIG_NET=y # x", "CONFIG_LOST=y or CONFIG_FOUND=y # renamed", "# CONFIG_GONE is not set").stdout
    assert resolve("CONFIG_LOST=y or CONFIG_LOST_TOO=y").returncode == 1


def test_what_is_no_kernel_source(resolve, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no kernel source: it has no Makefile" in resolve("CONFIG_NET=y", source=empty).stderr
    assert "there is no such kernel source" in resolve("CONFIG_NET=y", source=tmp_path / "gone").stderr
    text = tmp_path / "text"
    text.write_text("no archive")
    assert "cannot be unpacked" in resolve("CONFIG_NET=y", source=text).stderr
    assert "asks for nothing" in resolve("# only words").stderr


def test_each_option_of_the_fragment_has_its_reason():
    for line in open(FRAGMENT):
        if "CONFIG_" in line:
            assert re.fullmatch(r'(# )?CONFIG_\w+( is not set|=(y|\d+|"[\w,-]+"))( or CONFIG_\w+=y)?\s+# \S.*\n', line), line


def publish(kind, *args):
    return subprocess.run([os.path.join(SOURCE, "scripts/publish-" + kind), *map(str, args)], capture_output=True,
                          text=True, timeout=60)


def test_publish_makes_entries_and_replaces_them(tmp_path):
    kernel, folder = tmp_path / "vmlinuz", tmp_path / "www"
    kernel.write_bytes(b"one")
    assert publish("kernel", kernel, folder, "--name", "k", "--description", "d").returncode == 0
    kernel.write_bytes(b"second")
    assert publish("kernel", kernel, folder, "--name", "k").returncode == 0
    (tmp_path / "b.tar.zst").write_bytes(b"bundle")
    assert publish("image", tmp_path / "b.tar.zst", folder, "--name", "k").returncode == 0
    image, entry = json.loads((folder / "catalog.json").read_text())["entries"]
    assert (image["kind"], image["size"]) == ("image", 6) and image["url"].endswith(".tar.zst")
    assert entry == {"kind": "kernel", "name": "k", "arch": "x86_64", "url": "k-" + entry["sha256"][:12],
                     "sha256": hashlib.sha256(b"second").hexdigest(), "size": 6, "description": ""}
    assert (folder / entry["url"]).read_bytes() == b"second"


def test_publish_says_what_is_wrong(tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"one")
    assert "is no name" in publish("kernel", kernel, tmp_path, "--name", "K_").stderr
    assert "there is no such file" in publish("kernel", tmp_path / "gone", tmp_path, "--name", "k").stderr
    (tmp_path / "catalog.json").write_text("{}")
    assert "is no catalog of format 1" in publish("kernel", kernel, tmp_path, "--name", "k").stderr
    assert (tmp_path / "catalog.json").read_text() == "{}"
