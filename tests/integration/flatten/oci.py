# SPDX-License-Identifier: ISC
"""OCI layouts made by hand, so that a test says every byte of every layer."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layer:
    """A tar, entry by entry. xattrs are written as SCHILY.xattr.*, as image builders do."""

    def __init__(self, fmt=tarfile.PAX_FORMAT):
        self.buf = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buf, mode="w", format=fmt, encoding="utf-8", errors="surrogateescape")

    def add(self, name, type_=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, mtime=1500000000, link="", xattrs=None,
            dev=(0, 0)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname = type_, mode, uid, gid, mtime, link
        info.size = len(data)
        info.devmajor, info.devminor = dev
        # pax values are text to tarfile; surrogateescape carries any byte.
        info.pax_headers = {"SCHILY.xattr." + k: v.decode("utf-8", "surrogateescape") for k, v in (xattrs or {}).items()}
        self.tar.addfile(info, io.BytesIO(data))

    def dir(self, name, **kw):
        kw.setdefault("mode", 0o755)
        self.add(name, tarfile.DIRTYPE, **kw)

    def hard(self, name, target):
        self.add(name, tarfile.LNKTYPE, link=target)

    def soft(self, name, target, **kw):
        self.add(name, tarfile.SYMTYPE, link=target, mode=0o777, **kw)

    def gone(self, name):
        head, tail = os.path.split(name)
        self.add(os.path.join(head, ".wh." + tail))

    def opaque(self, name):
        self.add(os.path.join(name, ".wh..wh..opq"))

    def bytes(self):
        self.tar.close()
        return self.buf.getvalue()


def plain_header(name):
    """An empty file in a tar; a tenth of the time that tarfile takes."""
    head = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"00000000000\0" + b"13000000000\0"
    tail = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail


def put(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{layout}/blobs/sha256/{digest}", "wb") as f:
        f.write(data)
    return "sha256:" + digest


def write_layout(layout, tars, tag="t"):
    """An OCI layout with one gzip layer for each tar; the blobs' paths, bottom first."""
    os.makedirs(f"{layout}/blobs/sha256")
    layers, diffs = [], []
    for tar in tars:
        packed = gzip.compress(tar, 1)
        layers.append({"mediaType": LAYER + "+gzip", "digest": put(layout, packed), "size": len(packed)})
        diffs.append("sha256:" + hashlib.sha256(tar).hexdigest())
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                         "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                           "config": {"mediaType": CONFIG, "digest": put(layout, config), "size": len(config)},
                           "layers": layers}).encode()
    with open(f"{layout}/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(f"{layout}/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST, "digest": put(layout, manifest), "size": len(manifest),
            "annotations": {"org.opencontainers.image.ref.name": tag}}]}, f)
    return blobs(layout)


def blobs(layout, tag="t"):
    """The paths of the layers of this tag, bottom first."""
    with open(f"{layout}/index.json") as f:
        entry = next(m for m in json.load(f)["manifests"]
                     if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag)

    def path(descriptor):
        return f"{layout}/blobs/" + descriptor["digest"].replace(":", "/")

    with open(path(entry)) as f:
        return [path(d) for d in json.load(f)["layers"]]


def repack(paths, how, out):
    """The same layers under another compression: gzip, zstd or none."""
    if how == "gzip":
        return paths
    result = []
    for i, path in enumerate(paths):
        result.append(f"{out}/{how}-{i}")
        with open(result[-1], "wb") as f:
            unpack = subprocess.Popen(["gzip", "-dc", path], stdout=subprocess.PIPE)
            subprocess.run(["zstd", "-q", "-1"] if how == "zstd" else ["cat"], stdin=unpack.stdout, stdout=f, check=True)
            assert unpack.wait() == 0
    return result
