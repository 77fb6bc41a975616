# SPDX-License-Identifier: ISC
"""Container images made by hand on a Server, and Debian's docker-registry with images pushed by skopeo."""
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import time

from ports import free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files, pack=gzip.compress):
    """A layer with these files: name to bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return pack(out.getvalue())


def random_layer(megabytes):
    """One that does not compress."""
    return layer({"data": os.urandom(megabytes << 20)}, pack=lambda data: gzip.compress(data, 1))


class Image:
    """An image in the repository `name` of a Server; its documents can be changed before put()."""

    def __init__(self, server, name="team/dev", layers=None, arch="amd64", env=None):
        self.server, self.name = server, name
        self.layers = [layer({"etc/os-release": b'PRETTY_NAME="Test"\n'})] if layers is None else layers
        self.config = json.dumps({"os": "linux", "architecture": arch, "config": {"Env": env}}).encode()
        self.manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(self.config), "size": len(self.config)},
            "layers": [{"mediaType": LAYER, "digest": digest(x), "size": len(x)} for x in self.layers]}

    def url(self, what, ref):
        return f"/v2/{self.name}/{what}/{ref}"

    def put_document(self, doc, *refs):
        text = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        kind = doc.get("mediaType", MANIFEST) if isinstance(doc, dict) else MANIFEST
        for ref in (digest(text),) + refs:
            self.server.paths[self.url("manifests", ref)] = lambda h: h.body(text, headers=[("Content-Type", kind)])
        return {"mediaType": kind, "digest": digest(text), "size": len(text)}

    def put(self, *refs):
        """Gives the descriptor of the manifest."""
        for blob in self.layers + [self.config]:
            self.server.paths[self.url("blobs", digest(blob))] = blob
        return self.put_document(self.manifest, *(refs or ("latest",)))

    def asked(self):
        """The digests of layers that were asked for, with their ranges."""
        return [(path.rsplit("/", 1)[1], rng) for path, rng, _ in self.server.requests
                if "/blobs/" in path and not path.endswith(digest(self.config))]


class RealRegistry:
    """docker-registry on loopback with a configuration of its own: the packaged one wants a password."""

    def __init__(self, folder):
        self.host = f"127.0.0.1:{free_port()}"
        config = folder / "config.yml"
        config.write_text(f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\nhttp:\n  addr: {self.host}\n")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                port = int(self.host.rsplit(":", 1)[1])
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        raise AssertionError("docker-registry does not listen")

    def push(self, layout, name, *options):
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", *options, layout, f"docker://{self.host}/{name}"],
                       check=True, capture_output=True)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def umoci(*argv):
    subprocess.run(["umoci", *argv], check=True, capture_output=True)


def tree_layout(folder, tree, env=(), tag="t"):
    """An OCI layout with one layer: the files of the folder tree, owners and modes as they are; its reference for skopeo."""
    layout, packed = f"{folder}/layout", f"{folder}/layer.tar"
    subprocess.run(["tar", "-C", str(tree), "--numeric-owner", "-cf", packed, "."], check=True, capture_output=True)
    umoci("init", "--layout", layout)
    umoci("new", "--image", f"{layout}:{tag}")
    umoci("raw", "add-layer", "--image", f"{layout}:{tag}", packed)
    os.unlink(packed)
    umoci("config", "--image", f"{layout}:{tag}", "--architecture", "amd64", "--os", "linux", *(f"--config.env={e}" for e in env))
    return f"oci:{layout}:{tag}"


def make_layout(folder, files):
    """The same of these files: name to bytes."""
    for name, data in files.items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tree_layout(folder, folder / "tree")
