# SPDX-License-Identifier: ISC
"""`banger image pull` of images on disk: OCI layouts and what `docker save` writes, good ones and damaged ones."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest

from registries import INDEX, LAYER, MANIFEST, layer, make_layout
from test_pull import check, content, refused

ENV = ["TOOL=1"]
TREE = {"etc/os-release": b'ID=test\nPRETTY_NAME="Test 1"\n', "etc/x": b"one"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(host, tmp_path):
    """Where the user may read."""
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    return tmp_path


class Layout:
    """An OCI layout by hand; documents can be changed before write()."""

    def __init__(self, top, layers=None, arch="amd64"):
        self.top, self.blobs = top, top / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        self.layers = layers or [layer(TREE), layer({"etc/.wh.x": b"", "etc/y": b"two"})]
        self.config = json.dumps({"os": "linux", "architecture": arch, "config": {"Env": ENV}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + sha(gzip.decompress(x)) for x in self.layers]}}).encode()
        self.entries = []

    def put(self, data):
        (self.blobs / sha(data)).write_bytes(data)
        return {"digest": "sha256:" + sha(data), "size": len(data)}

    def manifest(self):
        return self.put(json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.put(self.config)},
            "layers": [{"mediaType": LAYER, **self.put(x)} for x in self.layers]}).encode())

    def write(self, *tags, entry=None):
        for tag in tags or (None,):
            e = {"mediaType": MANIFEST, **self.manifest(), **(entry or {})}
            if tag:
                e["annotations"] = {"org.opencontainers.image.ref.name": tag}
            self.entries.append(e)
        (self.top / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))
        (self.top / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return f"oci:{self.top}"


def docker_archive(path, layers, config=None, tags=("team/dev:1",), link=None, old=True):
    """As `docker save` writes it: old names layers by an id of their own, new by their digest."""
    config = config or {"os": "linux", "architecture": "amd64", "config": {"Env": ENV}, "rootfs": {"diff_ids": ["sha256:" + sha(x) for x in layers]}}
    text = json.dumps(config).encode()
    names = [f"{i:064x}/layer.tar" if old else "blobs/sha256/" + sha(x) for i, x in enumerate(layers)]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, data, type_=tarfile.REGTYPE, target=""):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = type_, len(data), target
            info.pax_headers = {"comment": "x" * 600}
            tar.addfile(info, io.BytesIO(data))

        for i, (name, data) in enumerate(zip(names, layers)):
            if link == i:
                add(name, b"", tarfile.SYMTYPE, "../" + names[0])
            else:
                add(name, data)
        add(sha(text) + ".json" if old else "blobs/sha256/" + sha(text), text)
        add("manifest.json", json.dumps([{"Config": sha(text) + ".json" if old else "blobs/sha256/" + sha(text), "RepoTags": [t],
                                          "Layers": names} for t in tags]).encode())
    return f"docker-archive:{path}"


def plain(files):
    return gzip.decompress(layer(files))


def expect_image(host, name, source):
    image = host.json("image", "show", name)
    assert (image["os"], image["source"], image["env"]) == ("Test 1", source, ENV)
    check(image)
    assert content(image, "/etc/x") != b"one" and content(image, "/etc/y") == b"two"


def test_layout_that_umoci_made(host, folder):
    ref = make_layout(folder, TREE)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    host.banger("image", "pull", ref, "--name", "a")
    image = host.json("image", "show", "a")
    assert image["source"] == ref and content(image, "/etc/x") == b"one"
    check(image)


def test_layout_by_hand(host, folder):
    ref = Layout(folder / "dev.box").write()
    out = host.banger("image", "pull", ref).stdout
    assert f"{ref} is now image dev-box" in out
    expect_image(host, "dev-box", ref)
    assert host.blobs() == [], "layers on disk need no cache"


def test_a_relative_path(host, folder):
    ref = Layout(folder / "dev").write("v1")
    r = host.user.run(["sh", "-c", f'cd {folder} && exec "$0" image pull oci:dev:v1', host.user.home + "/cli/banger"], env=host.env,
                      capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    expect_image(host, "dev", ref + ":v1")


def test_tags(host, folder):
    layout = Layout(folder / "dev")
    layout.write("one")
    layout.layers = [layer({"etc/which": b"latest"})]
    ref = layout.write("latest")
    host.banger("image", "pull", ref)
    assert content(host.json("image", "show", "dev"), "/etc/which") == b"latest"
    host.banger("image", "pull", ref + ":one", "--name", "other")
    expect_image(host, "other", ref + ":one")


def test_tags_that_do_not_say_which(host, folder):
    ref = Layout(folder / "dev").write("one", "two")
    refused(host, "registry.not_found", "has several images: which one of one, two?", ref)
    refused(host, "registry.not_found", 'has no image "three"; it has: one, two', ref + ":three")


def test_an_index_in_the_layout(host, folder):
    layout = Layout(folder / "dev")
    ours = {"mediaType": MANIFEST, **layout.manifest(), "platform": {"os": "linux", "architecture": "amd64"}}
    arm = {**ours, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "arm64"}}
    ref = layout.write(entry={"mediaType": INDEX, **layout.put(json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, ours]}).encode())})
    host.banger("image", "pull", ref)
    expect_image(host, "dev", ref)


def test_damaged_layouts(host, folder):
    layout = Layout(folder / "dev")
    ref = layout.write()
    blob = {name: layout.blobs / sha(data) for name, data in (("config", layout.config), ("bottom", layout.layers[0]), ("top", layout.layers[1]))}
    manifest = layout.blobs / layout.entries[0]["digest"][7:]
    for path, words in ((manifest, "is damaged"), (blob["config"], "is damaged"), (blob["bottom"], "layer 1 of 2"), (blob["top"], "layer 2 of 2")):
        good = path.read_bytes()
        # Still readable: only the digest can tell.
        document = path in (manifest, blob["config"])
        path.write_bytes(good.replace(b" ", b"  ", 1) if document else good[:4] + b"\x01" + good[5:])
        refused(host, "net.digest_mismatch", words, ref)
        path.write_bytes(good[:len(good) // 2])
        r = host.banger("image", "pull", ref, ok=False)
        assert r.returncode != 0 and host.images() == []
        path.unlink()
        refused(host, "image.invalid", "No such file", ref)
        path.write_bytes(good)
    (layout.top / "index.json").write_text("[]")
    refused(host, "registry.invalid", "lists no manifests", ref)
    host.banger("image", "pull", f"oci:{folder}/nothing", ok=False)
    assert host.images() == []


def test_other_platforms(host, folder):
    refused(host, "registry.no_platform", "only for linux/arm64", Layout(folder / "dev", arch="arm64").write())
    config = {"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}
    refused(host, "registry.no_platform", "only for linux/arm64", docker_archive(folder / "a.tar", [plain(TREE)], config))


@pytest.mark.parametrize("old", [True, False])
def test_docker_archives(host, folder, old):
    layers = [plain(TREE), plain({"etc/.wh.x": b"", "etc/y": b"two"})]
    ref = docker_archive(folder / "dev_box.tar", layers, old=old)
    host.banger("image", "pull", ref)
    expect_image(host, "dev-box", ref)


def test_docker_archive_of_skopeo(host, folder):
    ref = Layout(folder / "layout").write("t")
    subprocess.run(["skopeo", "copy", "-q", ref + ":t", f"docker-archive:{folder}/s.tar:team/dev:1"], check=True, capture_output=True)
    os.chmod(folder / "s.tar", 0o644)
    host.banger("image", "pull", f"docker-archive:{folder}/s.tar:team/dev:1", "--name", "dev")
    expect_image(host, "dev", f"docker-archive:{folder}/s.tar:team/dev:1")


def test_docker_archive_with_a_link_for_a_layer(host, folder):
    same = plain(TREE)
    ref = docker_archive(folder / "dev.tar", [same, plain({"etc/y": b"two", "etc/.wh.x": b""}), same], link=2)
    host.banger("image", "pull", ref)
    assert content(host.json("image", "show", "dev"), "/etc/x") == b"one"


def archive_of(path, config_name, files, names, layers):
    """A docker archive as other tools than docker write it; files: (name, data or the name that it is a hard link to)."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Env": ENV},
                         "rootfs": {"diff_ids": ["sha256:" + sha(x) for x in layers]}}).encode()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in [*files, (config_name.replace("HEX", sha(config)), config),
                           ("manifest.json", json.dumps([{"Config": config_name.replace("HEX", sha(config)), "Layers": names}]).encode())]:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.LNKTYPE, data
            else:
                info.size = len(data)
            tar.addfile(info, None if isinstance(data, str) else io.BytesIO(data))
    return f"docker-archive:{path}"


@pytest.mark.parametrize("config", ["sha256:HEX", "config.json", "./HEX.json", "HEX"])
def test_docker_archives_of_other_tools(host, folder, config):
    layers = [plain(TREE), b"", plain({"etc/.wh.x": b"", "etc/y": b"two"})]
    packed = [gzip.compress(x) for x in layers]
    names = [sha(packed[0]) + ".tar.gz", "empty.tar", "./top.tar.gz"]
    ref = archive_of(folder / "dev.tar", config, [(names[0], packed[0]), ("empty.tar", b""), ("top.tar.gz", packed[2])], names, layers)
    host.banger("image", "pull", ref)
    expect_image(host, "dev", ref)


def test_docker_archive_with_hard_links_and_packed_layers(host, folder):
    bottom, top = plain(TREE), plain({"etc/y": b"two", "etc/.wh.x": b""})
    files = [("a.tar", gzip.compress(bottom)), ("b.tar", gzip.compress(top)), ("./c.tar", "./a.tar"), ("d.tar", "c.tar")]
    ref = archive_of(folder / "dev.tar", "config.json", files, ["a.tar", "b.tar", "c.tar", "b.tar", "d.tar"], [bottom, top, bottom, top, bottom])
    host.banger("image", "pull", ref)
    assert content(host.json("image", "show", "dev"), "/etc/x") == b"one"


def test_packed_layers_are_checked(host, folder):
    good, other = plain(TREE), plain({"etc/x": b"other"})
    ref = archive_of(folder / "dev.tar", "config.json", [("a.tar", gzip.compress(other))], ["a.tar"], [good])
    refused(host, "net.digest_mismatch", "layer 1 of 1", ref)
    ref = archive_of(folder / "dev.tar", "0" * 64 + ".json", [("a.tar", good)], ["a.tar"], [good])
    refused(host, "net.digest_mismatch", "is damaged: its config", ref)


def test_a_layout_with_a_layer_of_no_bytes(host, folder):
    layout = Layout(folder / "dev", layers=[layer(TREE), gzip.compress(b""), layer({"etc/.wh.x": b"", "etc/y": b"two"})])
    ref = layout.write()
    host.banger("image", "pull", ref)
    expect_image(host, "dev", ref)


def test_damaged_docker_archives(host, folder):
    path = folder / "dev.tar"
    layers = [plain(TREE), plain({"etc/y": os.urandom(100000)})]
    ref = docker_archive(path, layers)
    good = path.read_bytes()
    at = good.index(layers[1][600:700])
    path.write_bytes(good[:at] + b"\xff" + good[at + 1:])
    refused(host, "net.digest_mismatch", "layer 2 of 2", ref)
    path.write_bytes(good[:len(good) // 2])
    refused(host, "registry.invalid", "it ends within a file", ref)
    path.write_bytes(gzip.compress(good))
    r = refused(host, "registry.invalid", "compressed as a whole", ref)
    assert "gunzip" in r.stderr
    path.write_bytes(plain({"etc/x": b"no image"}))
    refused(host, "registry.invalid", "it has no manifest.json", ref)
    docker_archive(path, layers, tags=("a:1", "b:1"))
    refused(host, "registry.not_found", "has 2 images: which one?", ref)
    host.banger("image", "pull", ref + ":b:1")
    assert host.images() == ["dev"]
