# SPDX-License-Identifier: ISC
"""`banger image pull` as an ordinary user: from a real registry, from wrong ones, and killed in the middle."""
import base64
import json
import os
import signal
import subprocess

import pytest

from conftest import wait_for
from registries import Image, digest, layer, make_layout, random_layer
from test_jobs import Tokens


def refused(host, code, words, *args):
    r = host.banger("image", "pull", *args, ok=False)
    assert r.returncode != 0 and words in r.stderr, r.stdout + r.stderr
    assert host.last_operation()["error"]["code"] == code, host.last_operation()
    assert host.images() == []
    assert host.folders() == []
    return r


def content(image, path):
    """A file inside the image's root file system."""
    r = subprocess.run(["debugfs", "-R", f"cat {path}", image["paths"]["rootfs"]], capture_output=True)
    return r.stdout


def check(image):
    for path in (image["paths"]["rootfs"], image["paths"]["work_seed"]):
        r = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True)
        assert r.returncode == 0, r.stdout


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return make_layout(tmp_path_factory.mktemp("image"), {"etc/os-release": b'ID=test\nPRETTY_NAME="Test 1"\n', "big": os.urandom(3 << 20)})


def test_a_real_registry(host, real, layout):
    real.push(layout, "team/dev.box:1")
    out = host.banger("image", "pull", f"{real.host}/team/dev.box:1").stdout
    assert f"{real.host}/team/dev.box:1 is now image dev-box" in out
    image = host.json("image", "show", "dev-box")
    assert (image["os"], image["kernel"], image["source"]) == ("Test 1", "k", f"{real.host}/team/dev.box:1")
    check(image)
    assert b"PRETTY_NAME" in content(image, "/etc/os-release")
    assert len(host.blobs()) == 1 and host.blobs("partial") == []


def test_the_environment_goes_with_the_image(host, server):
    """Kept with the image and in a bundle of it; what is the user's own is not the image's to say."""
    Image(server, env=["PATH=/opt/tool/bin:/bin", "HOME=/app", "TOOL_VERSION=1.2"]).put()
    host.banger("image", "pull", f"{server.host}/team/dev")
    env = host.json("image", "show", "dev")["env"]
    assert env == ["PATH=/opt/tool/bin:/bin", "TOOL_VERSION=1.2"]
    bundle = host.user.home + "/env.tar.zst"
    host.banger("image", "export", "dev", bundle)
    host.banger("image", "import", bundle, "--name", "carried")
    assert host.json("image", "show", "carried")["env"] == env
    os.unlink(bundle)


@pytest.mark.parametrize("env", [{"A": "1"}, [1], ["A=" + "x" * 8192]], ids=["object", "numbers", "long"])
def test_a_wrong_environment(host, server, env):
    Image(server, env=env).put()
    refused(host, "registry.invalid", "the environment in its config is not a list of strings, or over 8 KiB", f"{server.host}/team/dev")


def test_layers_come_once(host, server):
    shared = random_layer(1)
    one = Image(server, "a/one", [shared, layer({"etc/x": b"1"}), shared])
    two = Image(server, "a/two", [shared, layer({"etc/x": b"2"})])
    one.put()
    two.put("v2")
    host.banger("image", "pull", f"{server.host}/a/one", "--name", "first")
    assert [a[0] for a in one.asked()].count(digest(shared)) == 1
    server.requests.clear()
    host.banger("image", "pull", f"{server.host}/a/two:v2", "--size", "64M")
    assert [a[0] for a in two.asked()] == [digest(two.layers[1])]
    image = host.json("image", "show", "two")
    check(image)
    assert content(image, "/etc/x") == b"2" and image["size_bytes"] == 64 << 20
    assert len(host.blobs()) == 3


def test_zstd_layers(host, server):
    image = Image(server, layers=[layer({"etc/x": b"z"}, pack=lambda data: subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout)])
    image.manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
    image.put()
    host.banger("image", "pull", f"{server.host}/team/dev")
    assert content(host.json("image", "show", "dev"), "/etc/x") == b"z"


def test_two_at_once_share_what_they_fetch(host, server):
    shared = random_layer(2)
    for name in ("one", "two"):
        Image(server, f"a/{name}", [shared, layer({name: b"x"})]).put()
    pulls = [host.start("image", "pull", f"{server.host}/a/{name}") for name in ("one", "two")]
    for p in pulls:
        text = p.communicate(timeout=120)[0]
        assert p.returncode == 0, text
    assert [r[0] for r in server.requests].count(f"/v2/a/one/blobs/{digest(shared)}") + \
        [r[0] for r in server.requests].count(f"/v2/a/two/blobs/{digest(shared)}") == 1
    assert host.images() == ["one", "two"]


def test_prune_tells_what_it_freed(host, server):
    image = Image(server, layers=[random_layer(2)])
    image.put()
    host.banger("image", "pull", f"{server.host}/team/dev")
    got = host.json("image", "prune")
    assert got["files"] == 1 and 2 << 20 <= got["bytes"] < 3 << 20 and host.blobs() == []
    assert "nothing to remove" in host.banger("image", "prune").stdout
    assert host.images() == ["dev"]
    check(host.json("image", "show", "dev"))
    server.requests.clear()
    host.banger("image", "pull", f"{server.host}/team/dev", "--name", "again")
    assert len(image.asked()) == 1


def test_the_cache_has_a_limit(host, server):
    layers = [random_layer(9) for _ in range(3)]
    host.write(".config/banger/config.toml", 'layer_cache = "20M"\n')
    host.banger("daemon", "stop")
    try:
        for i, data in enumerate(layers):
            Image(server, f"a/i{i}", [data]).put()
            host.banger("image", "pull", f"{server.host}/a/i{i}")
        assert host.blobs() == sorted(digest(x)[7:] for x in layers[1:])
    finally:
        host.write(".config/banger/config.toml", "")
        host.banger("daemon", "stop")


@pytest.mark.parametrize("ref, words", [("Debian", "does not name a container image"), ("debian:", "the tag"),
                                        ("debian@sha256:12", "64 hex digits"), ("http://x/y", "does not name")])
def test_wrong_references(host, ref, words):
    r = host.banger("image", "pull", ref, ok=False)
    assert r.returncode == 2 and words in r.stderr


def test_a_name_that_cannot_be(host, server):
    r = host.banger("image", "pull", f"{server.host}/7zip", ok=False)
    assert r.returncode == 2 and "--name" in r.stderr


def test_plain_http_needs_the_configuration(host, server):
    """An address that is this machine, but does not look so."""
    image = Image(server)
    image.put()
    there = f"[::ffff:127.0.0.1]:{server.port}"
    refused(host, "net.tls", "team/dev", f"{there}/team/dev")
    assert server.requests == []
    host.write(".config/banger/config.toml", f'insecure_registries = "other:1, {there}"\n')
    host.banger("daemon", "stop")
    try:
        host.banger("image", "pull", f"{there}/team/dev")
    finally:
        host.write(".config/banger/config.toml", "")
        host.banger("daemon", "stop")


def hostile(host, server, change=None, **kinds):
    image = Image(server, layers=[random_layer(1), layer({"a": b"b"})])
    if change:
        change(image)
    image.put()
    return image, f"{server.host}/team/dev"


def test_wrong_digest(host, server):
    image, ref = hostile(host, server)
    server.paths[image.url("blobs", digest(image.layers[0]))] = b"x" * len(image.layers[0])
    refused(host, "net.digest_mismatch", "layer 1 of 2", ref)
    image.put()
    host.banger("image", "pull", ref)


def test_truncated_layer(host, server):
    image, ref = hostile(host, server)
    server.paths[image.url("blobs", digest(image.layers[0]))] = image.layers[0][:1000]
    refused(host, "net.broken", "layer 1 of 2", ref)


def test_layer_that_is_no_archive(host, server):
    def change(image):
        image.__init__(server, layers=[b"this is no archive" * 1000])
    _, ref = hostile(host, server, change)
    refused(host, "image.invalid", "team/dev", ref)


def test_huge_manifest(host, server):
    _, ref = hostile(host, server)
    server.paths["/v2/team/dev/manifests/latest"] = b" " * (5 << 20)
    refused(host, "net.too_large", "team/dev", ref)


def test_endless_redirect(host, server):
    image, ref = hostile(host, server)
    path = image.url("blobs", digest(image.layers[1]))
    server.paths[path] = lambda h: h.body(b"", 307, [("Location", path)])
    refused(host, "net.redirects", "layer 2 of 2", ref)


def test_not_there(host, server):
    r = host.banger("image", "pull", f"{server.host}/team/dev", ok=False)
    assert r.returncode == 3 and "is not in the registry" in r.stderr


def test_credentials(host, server):
    Image(server).put()
    Tokens(server, "me", "p:w")
    ref = f"{server.host}/team/dev"
    refused(host, "registry.unauthorized", "no right to pull", ref)
    helper = {"credsStore": "desktop"}
    host.write(".docker/config.json", json.dumps(helper))
    r = refused(host, "registry.unauthorized", "no right to pull", ref)
    assert "docker-credential-desktop" in r.stderr
    auth = base64.b64encode(b"me:p:w").decode()
    host.write(".docker/config.json", json.dumps({"auths": {server.host: {"auth": auth}}, **helper}))
    host.banger("image", "pull", ref, "--name", "docker")
    # podman's file comes first, and its longer key.
    host.write(".config/containers/auth.json", json.dumps({"auths": {server.host: {"auth": base64.b64encode(b"x:y").decode()}}}))
    refused_text = host.banger("image", "pull", ref, "--name", "podman", ok=False).stderr
    assert "with your credentials" in refused_text
    host.write(".config/containers/auth.json", json.dumps({"auths": {f"{server.host}/team": {"auth": auth}, server.host: {"auth": "eDp5"}}}))
    host.banger("image", "pull", ref, "--name", "podman")
    host.write(".config/containers/auth.json", '{"auths": {"%s": {"auth": "?"}}}' % server.host)
    assert "base64" in host.banger("image", "pull", ref, "--name", "bad", ok=False).stderr
    for name in (".docker/config.json", ".config/containers/auth.json"):
        os.unlink(os.path.join(host.user.home, name))


def halfway(server, image, which, at):
    """The layer comes up to here, then nothing any more."""
    data = image.layers[which]

    def half(h):
        h.body(data[:at], length=len(data))
        h.stall()

    server.paths[image.url("blobs", digest(data))] = half


@pytest.mark.parametrize("victim", ["banger-worker", "bangerd-.*"])
def test_killed_while_it_fetches(host, server, victim):
    image = Image(server, layers=[random_layer(1), random_layer(1)])
    image.put()
    halfway(server, image, 1, 700000)
    p = host.start("image", "pull", f"{server.host}/team/dev")
    part, done = (f"{host.cache}/partial/{digest(x)[7:]}" for x in reversed(image.layers))
    wait_for(lambda: os.path.exists(part) and os.stat(part).st_size == 700000 and os.stat(done).st_size == len(image.layers[0]))
    for pid in host.processes(victim):
        os.kill(pid, signal.SIGKILL)
    p.communicate(timeout=60)
    assert p.returncode != 0
    assert wait_for(lambda: host.banger("image", "list", "--json", ok=False).stdout.strip() == "[]")
    assert host.folders() == []
    image.put()
    server.requests.clear()
    host.banger("image", "pull", f"{server.host}/team/dev")
    assert image.asked() == [(digest(image.layers[1]), "bytes=700000-")]
    check(host.json("image", "show", "dev"))


@pytest.mark.parametrize("victim", ["banger-worker", "bangerd-.*"])
def test_killed_while_it_flattens(host, server, victim):
    image = Image(server, layers=[layer({f"f{i}": b"x" * 100 for i in range(60000)})])
    image.put()
    p = host.start("image", "pull", f"{server.host}/team/dev")
    wait_for(lambda: host.blobs() and host.processes("banger-worker"))
    for pid in host.processes(victim):
        os.kill(pid, signal.SIGKILL)
    p.communicate(timeout=60)
    assert p.returncode != 0
    assert wait_for(lambda: host.banger("image", "list", "--json", ok=False).stdout.strip() == "[]")
    server.requests.clear()
    host.banger("image", "pull", f"{server.host}/team/dev")
    assert image.asked() == []
    check(host.json("image", "show", "dev"))


def test_cancelled(host, server):
    image = Image(server, layers=[random_layer(1)])
    image.put()
    halfway(server, image, 0, 5000)
    p = host.start("image", "pull", f"{server.host}/team/dev")
    wait_for(image.asked)
    p.send_signal(signal.SIGINT)
    text = p.communicate(timeout=60)[0]
    assert p.returncode == 130, text
    assert host.images() == [] and host.blobs() == []
    assert wait_for(lambda: not host.processes("banger-worker"))
