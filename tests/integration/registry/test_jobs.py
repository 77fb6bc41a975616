# SPDX-License-Identifier: ISC
"""The jobs resolve and blobs against registries by hand: what they take, and what each wrong thing is called."""
import base64
import json
import os
import signal
import urllib.parse

import pytest

from jobs import Failed, Job, run
from registries import INDEX, LAYER, Image, digest, layer, random_layer


def resolve(server, name="team/dev", reference="latest", **params):
    return run("resolve", [], host=server.host, plain=True, repository=name, reference=reference, name="the image", **params)


class Files:
    """One output file per layer of an image, as bangerd opens them."""

    def __init__(self, folder, image):
        self.image, self.paths = image, []
        for i, _ in enumerate(image.layers):
            self.paths.append(folder / f"blob{i}")
            self.paths[-1].touch()

    def start(self, **params):
        self.fds = [os.open(p, os.O_RDWR) for p in self.paths]
        blobs = [{"digest": d["digest"], "size": d["size"]} for d in self.image.manifest["layers"]]
        try:
            return Job("blobs", self.fds, host=self.image.server.host, plain=True, repository=self.image.name, blobs=blobs, **params)
        finally:
            for fd in self.fds:
                os.close(fd)

    def fetch(self, **params):
        return self.start(**params).wait()

    def right(self):
        return [p.read_bytes() for p in self.paths] == self.image.layers


def refused(code, words, what, *args, **params):
    with pytest.raises(Failed) as e:
        what(*args, **params)
    assert (e.value.code, words in e.value.message) == (code, True), str(e.value)
    return e.value


def test_resolves_a_manifest(server):
    image = Image(server, layers=[layer({"a": b"1"}), layer({"b": b"2"})])
    at = image.put()
    want = {"digest": at["digest"], "size": sum(map(len, image.layers)),
            "layers": [{"digest": digest(x), "size": len(x)} for x in image.layers]}
    assert resolve(server) == want
    assert resolve(server, reference=at["digest"]) == want


def platform(image_at, os_="linux", arch="amd64", **more):
    return {**image_at, "platform": {"os": os_, "architecture": arch, **more}}


def index(*entries):
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}


def test_picks_the_platform(server):
    arm, ours = Image(server, arch="arm64"), Image(server, layers=[layer({"x": b"y"})])
    a, b = arm.put("a"), ours.put("b")
    ours.put_document(index(platform(a, arch="arm64"), platform(a, "unknown", "unknown"), platform(a, variant="v3"), platform(b)), "multi")
    assert resolve(server, reference="multi")["digest"] == b["digest"]
    docker = index(platform(b))
    docker["mediaType"] = "application/vnd.docker.distribution.manifest.list.v2+json"
    ours.put_document(docker, "docker")
    assert resolve(server, reference="docker")["digest"] == b["digest"]
    # An index in an index, and one without a word on platforms.
    inner = ours.put_document(index(b))
    ours.put_document(index(platform(inner)), "nested")
    assert resolve(server, reference="nested")["digest"] == b["digest"]


def test_not_for_this_machine(server):
    arm = Image(server, arch="arm64")
    a = arm.put()
    refused("registry.no_platform", "only for linux/arm64", resolve, server)
    arm.put_document(index(platform(a, arch="arm64"), platform(a, "windows")), "multi")
    refused("registry.no_platform", "only for linux/arm64, windows/amd64", resolve, server, reference="multi")


def test_docker_media_types(server):
    image = Image(server)
    image.manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    image.manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    image.put()
    assert len(resolve(server)["layers"]) == 1


def test_not_there(server):
    refused("registry.not_found", "is not in the registry", resolve, server)


def broken(change):
    def make(server):
        image = Image(server)
        change(image.manifest)
        image.put()
        return image
    return make


def set_at(*path_and_value):
    *path, last, value = path_and_value

    def change(doc):
        for key in path:
            doc = doc[key]
        doc[last] = value
    return change


@pytest.mark.parametrize("change, words", [
    (set_at("schemaVersion", 1), "schema 1"),
    (set_at("schemaVersion", "2"), "schemaVersion"),
    (set_at("layers", []), "no layers"),
    (set_at("layers", {}), "no layers"),
    (set_at("layers", 0, "digest", "sha256:../../etc/passwd"), "without a sha256 digest"),
    (set_at("layers", 0, "digest", "sha512:" + "0" * 128), "without a sha256 digest"),
    (set_at("layers", 0, "digest", 7), "without a sha256 digest"),
    (set_at("layers", 0, "size", -1), "without a size"),
    (set_at("layers", 0, "size", 1 << 40), "without a size"),
    (set_at("layers", 0, "size", "5"), "without a size"),
    (set_at("layers", 0, "mediaType", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"), "not the image of a file system"),
    (set_at("layers", [{"mediaType": LAYER, "digest": "sha256:" + "0" * 64, "size": 1}] * 129), "too many layers"),
    (set_at("layers", [{"mediaType": LAYER, "digest": "sha256:" + "0" * 64, "size": 1 << 35}] * 3), "more than 64 GiB"),
    (set_at("config", "size", 1 << 30), "config is over"),
    (set_at("config", None), "without a sha256 digest"),
])
def test_broken_manifests(server, change, words):
    broken(change)(server)
    refused("registry.invalid", words, resolve, server)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b'{"schemaVersion":2,"schemaVersion":2}', b"[" * 100000, b"<html>"])
def test_not_even_json(server, text):
    Image(server).put_document(text, "latest")
    refused("registry.invalid", "not a JSON object", resolve, server)


def test_huge_manifest(server):
    Image(server).put_document(b" " * (5 << 20), "latest")
    refused("net.too_large", "larger than", resolve, server)


def test_endless_indexes(server):
    image = Image(server)
    at = image.put("end")
    for _ in range(6):
        at = image.put_document(index(platform(at)), "deep")
    refused("registry.invalid", "index of indexes", resolve, server, reference="deep")


def test_wrong_digests_of_documents(server):
    image = Image(server)
    at = image.put()
    server.paths[image.url("blobs", digest(image.config))] = b"{}"
    refused("net.digest_mismatch", "instead of", resolve, server)
    server.paths[image.url("manifests", at["digest"])] = b'{"schemaVersion": 2}'
    refused("net.digest_mismatch", "instead of " + at["digest"], resolve, server, reference=at["digest"])


def test_endless_redirect_of_a_manifest(server):
    path = Image(server).url("manifests", "latest")
    server.paths[path] = lambda h: h.body(b"", 307, [("Location", path)])
    refused("net.redirects", "redirects more than", resolve, server)


def test_stalls(server):
    server.paths[Image(server).url("manifests", "latest")] = lambda h: h.stall()
    refused("net.stalled", "does not answer", resolve, server, stall_s=1)


def test_the_complaint_of_a_registry_is_told(server):
    text = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "come back\nlater"}]}).encode()
    server.paths[Image(server).url("manifests", "latest")] = lambda h: h.body(text, 429)
    refused("net.status", "429: come back later", resolve, server)


class Tokens:
    """Lets only those in who have been at /token, and there only who knows the password."""

    def __init__(self, server, user=None, password=None, identity=None):
        self.server, self.want, self.identity, self.seen = server, (user, password), identity, []
        server.paths["/token"] = self.token
        self.inner, server.answer = server.answer, self.answer
        self.valid = 0

    def token(self, h):
        ask = urllib.parse.parse_qs(urllib.parse.urlparse(h.path).query)
        if h.command == "POST":
            ask = urllib.parse.parse_qs(h.rfile.read(int(h.headers["Content-Length"])).decode())
            ok = ask.get("refresh_token") == [self.identity]
        else:
            basic = "Basic " + base64.b64encode(":".join(map(str, self.want)).encode()).decode()
            ok = self.want[0] is None or h.headers.get("Authorization") == basic
        self.seen.append(ask)
        if not ok:
            return h.body(b"no", 401)
        self.valid += 1
        h.body(json.dumps({"token": f"t{self.valid}"}).encode())

    def answer(self, h):
        if h.path.startswith("/v2/") and h.headers.get("Authorization") != f"Bearer t{self.valid}":
            realm = f'Bearer realm="{self.server.url}/token",service="reg \\"1\\"",scope="repository:x:pull"'
            return h.body(b"", 401, [("WWW-Authenticate", realm)])
        self.inner(h)


def test_anonymous_token(server, tmp_path):
    image = Image(server, layers=[layer({str(i): b"x"}) for i in range(6)])
    image.put()
    tokens = Tokens(server)
    resolve(server)
    assert tokens.seen == [{"service": ['reg "1"'], "scope": ["repository:team/dev:pull"]}]
    files = Files(tmp_path, image)
    files.fetch()
    assert files.right() and len(tokens.seen) <= 5


def test_token_for_a_password(server):
    Image(server).put()
    Tokens(server, "me", "p:w")
    resolve(server, user="me", password="p:w")
    e = refused("registry.unauthorized", "with your credentials", resolve, server, user="me", password="bad", hint="log in")
    assert e.hint == "log in"
    refused("registry.unauthorized", "no right", resolve, server)


def test_identity_token(server):
    Image(server).put()
    Tokens(server, "nobody", "x", identity="id&=1")
    resolve(server, identity="id&=1")
    refused("registry.unauthorized", "credentials", resolve, server, identity="other")


def test_token_that_ran_out_is_renewed(server, tmp_path):
    image = Image(server, layers=[layer({str(i): b"x"}) for i in range(6)])
    image.put()
    tokens, blob = Tokens(server), image.url("blobs", digest(image.layers[5]))
    inner = server.answer

    def answer(h):
        if h.path == blob and tokens.valid == 1:
            tokens.valid = 2
        inner(h)

    server.answer = answer
    files = Files(tmp_path, image)
    files.fetch()
    assert files.right()


def test_token_never_accepted(server):
    Image(server).put()
    tokens = Tokens(server)
    server.paths["/token"] = lambda h: h.body(b'{"token": "other"}')
    refused("registry.unauthorized", "no right", resolve, server)
    assert len(server.requests) < 12, tokens.seen


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": 5}'])
def test_no_token(server, reply):
    Tokens(server)
    server.paths["/token"] = lambda h: h.body(reply)
    refused("registry.invalid", "sends no token", resolve, server)


def test_token_with_a_line_break(server):
    Tokens(server)
    server.paths["/token"] = lambda h: h.body(json.dumps({"token": "x\r\nEvil: 1"}).encode())
    refused("registry.invalid", "strange letters", resolve, server)


@pytest.mark.parametrize("challenge", ['Bearer realm="file:///etc/passwd"', "Bearer", 'Bearer realm="', 'Bearer realm=ftp://x/'])
def test_bad_realms(server, challenge):
    server.answer = lambda h: h.body(b"", 401, [("WWW-Authenticate", challenge)])
    refused("registry.invalid", "no https:// server", resolve, server)


def test_basic(server, tmp_path):
    image = Image(server, layers=[layer({str(i): b"x"}) for i in range(6)])
    image.put()
    inner, good = server.answer, "Basic " + base64.b64encode(b"me:pw").decode()

    def answer(h):
        if h.headers.get("Authorization") != good:
            return h.body(b"", 401, [("WWW-Authenticate", 'Basic realm="x"')])
        inner(h)

    server.answer = answer
    resolve(server, user="me", password="pw")
    files = Files(tmp_path, image)
    files.fetch(user="me", password="pw")
    assert files.right()
    refused("registry.unauthorized", "wants credentials", resolve, server)
    refused("registry.unauthorized", "wants credentials", resolve, server, user="me", password="no")


def test_credentials_stay_with_their_host(server, tmp_path):
    """Blobs are often redirected to a store of another host: it must not see the token."""
    image = Image(server)
    image.put()
    Tokens(server)
    path, blob = image.url("blobs", digest(image.layers[0])), image.layers[0]
    server.paths[path] = lambda h: h.body(b"", 307, [("Location", f"http://localhost:{server.port}/store")])
    server.paths["/store"] = blob
    files = Files(tmp_path, image)
    files.fetch()
    assert files.right()
    assert [r[2] for r in server.requests if r[0] == "/store"] == [None]


def test_blobs_side_by_side(server, tmp_path):
    """Each of four waits until four are asked for."""
    import threading
    image = Image(server, layers=[layer({str(i): os.urandom(2000)}) for i in range(8)])
    image.put()
    gate = threading.Barrier(4, timeout=30)
    for blob in image.layers:
        def serve(h, blob=blob):
            gate.wait()
            h.ranged(blob)
        server.paths[image.url("blobs", digest(blob))] = serve
    files = Files(tmp_path, image)
    assert files.fetch() == {"fetched": sum(map(len, image.layers))}
    assert files.right()


def test_goes_on_and_fetches_only_what_is_missing(server, tmp_path):
    image = Image(server, layers=[random_layer(1) for _ in range(4)])
    image.put()
    files = Files(tmp_path, image)
    files.paths[0].write_bytes(image.layers[0])
    files.paths[1].write_bytes(image.layers[1][:500000])
    files.paths[2].write_bytes(b"wrong" * 1000)
    files.fetch()
    assert files.right()
    asked = image.asked()
    assert digest(image.layers[0]) not in [a[0] for a in asked]
    assert (digest(image.layers[1]), "bytes=500000-") in asked and len([a for a in asked if a[0] == digest(image.layers[1])]) == 1
    assert [a[1] for a in asked if a[0] == digest(image.layers[2])] == ["bytes=5000-", None]


def test_killed_in_the_middle(server, tmp_path):
    image = Image(server, layers=[random_layer(1) for _ in range(3)])
    image.put()
    files, last = Files(tmp_path, image), image.layers[2]

    def half(h):
        h.body(last[:400000], length=len(last))
        h.stall()

    server.paths[image.url("blobs", digest(last))] = half
    job = files.start()
    while [p.stat().st_size for p in files.paths] != [len(image.layers[0]), len(image.layers[1]), 400000]:
        job.next()
    job.kill()
    assert job.process.returncode == -signal.SIGKILL
    image.put()
    server.requests.clear()
    assert files.fetch() == {"fetched": len(last) - 400000}
    assert files.right() and image.asked() == [(digest(last), "bytes=400000-")]


def test_wrong_blob(server, tmp_path):
    image = Image(server, layers=[random_layer(1), layer({"a": b"b"})])
    image.put()
    server.paths[image.url("blobs", digest(image.layers[0]))] = b"x" * len(image.layers[0])
    files = Files(tmp_path, image)
    refused("net.digest_mismatch", "layer 1 of 2", files.fetch)
    assert files.paths[0].read_bytes() == b""


def test_truncated_blob(server, tmp_path):
    image = Image(server, layers=[random_layer(1)])
    image.put()
    blob = image.layers[0]
    server.paths[image.url("blobs", digest(blob))] = lambda h: h.body(blob[:1000])
    files = Files(tmp_path, image)
    refused("net.broken", f"sends 1000 of {len(blob)} bytes", files.fetch)


def test_longer_blob(server, tmp_path):
    image = Image(server, layers=[random_layer(1)])
    image.put()
    server.paths[image.url("blobs", digest(image.layers[0]))] = image.layers[0] + b"more"
    refused("net.too_large", "layer 1 of 1", Files(tmp_path, image).fetch)


def test_missing_blob_and_stalling_blob(server, tmp_path):
    image = Image(server, layers=[random_layer(1)])
    image.put()
    path = image.url("blobs", digest(image.layers[0]))
    server.paths[path] = lambda h: h.stall()
    refused("net.stalled", "layer 1 of 1", Files(tmp_path, image).fetch, stall_s=1)
    del server.paths[path]
    refused("net.status", "404", Files(tmp_path, image).fetch)


def test_cancel(server, tmp_path):
    image = Image(server)
    image.put()
    server.paths[image.url("blobs", digest(image.layers[0]))] = lambda h: h.stall()
    job = Files(tmp_path, image).start()
    while not image.asked():
        job.next()
    job.sock.close()
    assert job.process.wait(10) == 1
