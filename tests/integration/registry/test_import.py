# SPDX-License-Identifier: ISC
"""`banger image import` from servers, as an ordinary user: http, https with an authority of its own, and servers that do worse."""
import json
import os
import re
import ssl
import subprocess

import pytest

from conftest import Server, sha256, wait_for
from registries import Image, layer, random_layer


@pytest.fixture(scope="module")
def bundle(session_host):
    """The bytes of a bundle with a kernel."""
    server = Server()
    image = Image(server, layers=[random_layer(2), layer({"etc/os-release": b'PRETTY_NAME="Carried 1"\n'})])
    image.put()
    path = session_host.user.home + "/made.tar.zst"
    session_host.banger("image", "pull", f"{server.host}/team/dev", "--name", "made")
    session_host.banger("image", "export", "made", path)
    session_host.banger("image", "delete", "made")
    server.close()
    with open(path, "rb") as f:
        data = f.read()
    os.unlink(path)
    return data


def openssl(folder, *argv):
    subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(session_host):
    """Makes an authority in the user's home, and has it sign a certificate for localhost; gives the folder."""
    folder = session_host.user.home + "/pki"
    os.mkdir(folder)
    with open(folder + "/ext", "w") as f:
        f.write("subjectAltName=DNS:localhost\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    openssl(folder, "req", "-x509", *key, "-subj", "/CN=an authority of the tests", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", "-new", *key[:-2], "-subj", "/CN=localhost", "-keyout", "key", "-out", "csr")
    openssl(folder, "x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
            "-extfile", "ext", "-out", "cert")
    return folder


@pytest.fixture
def https(authority):
    s = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority + "/cert", authority + "/key")
    s.http.socket = context.wrap_socket(s.http.socket, server_side=True)
    s.url = f"https://localhost:{s.port}"
    yield s
    s.close()


@pytest.fixture
def trusting(host, authority):
    """The user's daemon goes by that authority."""
    host.banger("daemon", "stop")
    host.env["SSL_CERT_FILE"] = authority + "/ca.pem"
    yield host
    del host.env["SSL_CERT_FILE"]
    host.banger("daemon", "stop")


def nothing_left(host):
    assert host.images() == [] and [k["name"] for k in host.json("kernel", "list")] == ["k"]
    kept = os.listdir(host.state + "/blobs")
    assert kept == [os.path.basename(host.json("kernel", "show", "k")["path"])]
    assert os.listdir(host.state + "/images") == []
    assert os.listdir(host.state + "/kernels") == ["k"] and host.folders("kernels") == []


def refused(host, code, words, *args):
    r = host.banger("image", "import", *args, ok=False)
    assert r.returncode != 0 and re.search(words, r.stderr), r.stdout + r.stderr
    assert r.stderr.count("banger: ") == 1, r.stderr
    assert host.last_operation()["error"]["code"] == code, json.dumps(host.last_operation())
    nothing_left(host)


def imported(host, name):
    image = host.json("image", "show", name)
    assert (image["os"], image["kernel"], image["owns_kernel"]) == ("Carried 1", name, True)
    host.banger("image", "delete", name)
    nothing_left(host)


def test_http(host, server, bundle):
    server.paths["/dir/team-1.tar.zst"] = bundle
    out = host.banger("image", "import", server.url + "/dir/team-1.tar.zst").stdout
    assert out.startswith("team-1 is made in")
    assert os.listdir(host.state + "/images/team-1") == ["image.rec"], "the download is gone too"
    imported(host, "team-1")
    host.banger("image", "import", server.url + "/dir/team-1.tar.zst?v=2", "--name", "x", "--sha256", sha256(bundle))
    imported(host, "x")


def test_redirects(host, server, bundle):
    server.paths["/latest"] = lambda h: h.body(b"", 302, [("Location", "/moved/b.tar.zst")])
    server.paths["/moved/b.tar.zst"] = bundle
    host.banger("image", "import", server.url + "/latest", "--sha256", sha256(bundle))
    imported(host, "latest")
    server.paths["/round"] = lambda h: h.body(b"", 302, [("Location", "/round")])
    refused(host, "net.redirects", "redirects more than 10 times", server.url + "/round")
    server.paths["/file"] = lambda h: h.body(b"", 302, [("Location", "file:///etc/passwd")])
    refused(host, "net.unreachable", "rotocol", server.url + "/file")


def test_wrong_sum(host, server, bundle):
    server.paths["/b.tar.zst"] = bundle
    refused(host, "net.digest_mismatch", "not " + "0" * 64 + "|" + "0" * 64, server.url + "/b.tar.zst", "--sha256", "0" * 64)


def test_a_file_that_is_cut(host, server, bundle):
    """The server has but half of it, and says so; or breaks off each time."""
    server.paths["/half.tar.zst"] = bundle[:len(bundle) // 2]
    refused(host, "image.invalid", "damaged archive", server.url + "/half.tar.zst")
    refused(host, "net.digest_mismatch", sha256(bundle), server.url + "/half.tar.zst", "--sha256", sha256(bundle))

    def breaks(h):
        h.body(bundle[:100000], length=len(bundle))
        h.cut()

    server.paths["/breaks.tar.zst"] = breaks
    refused(host, "net.broken", "broke 5 times", server.url + "/breaks.tar.zst")


def test_a_connection_that_breaks_once(host, server, bundle):
    def breaks(h):
        if len(server.requests) > 1:
            return h.ranged(bundle)
        h.body(bundle[:100000], length=len(bundle))
        h.cut()

    server.paths["/b.tar.zst"] = breaks
    host.banger("image", "import", server.url + "/b.tar.zst", "--sha256", sha256(bundle))
    assert [r[1] for r in server.requests] == [None, "bytes=100000-"]
    imported(host, "b")


def test_what_is_no_bundle(host, server, bundle):
    server.paths["/page"] = b"<html>sign in first</html>" * 100
    refused(host, "image.invalid", "", server.url + "/page")
    refused(host, "net.status", "404", server.url + "/nothing.tar.zst")
    server.paths["/down"] = lambda h: h.body(b"", 503)
    refused(host, "net.status", "503", server.url + "/down")


def test_a_server_that_stalls_is_left(host, server, bundle):
    """Given up by the user here; that the worker gives up by itself is test_fetch.py's, with a shorter patience."""
    def stalls(h):
        h.body(bundle[:100000], length=len(bundle))
        h.stall()

    server.paths["/b.tar.zst"] = stalls
    p = host.start("image", "import", server.url + "/b.tar.zst")
    download = host.state + "/images/b/bundle"
    wait_for(lambda: os.path.exists(download) and os.stat(download).st_size == 100000)
    p.send_signal(2)
    text = p.communicate(timeout=60)[0]
    assert p.returncode == 130, text
    nothing_left(host)


def test_https(trusting, https, bundle):
    https.paths["/b.tar.zst"] = bundle
    trusting.banger("image", "import", https.url + "/b.tar.zst", "--sha256", sha256(bundle))
    imported(trusting, "b")
    refused(trusting, "net.digest_mismatch", "1" * 64, https.url + "/b.tar.zst", "--sha256", "1" * 64)
    https.paths["/plain"] = lambda h: h.body(b"", 302, [("Location", https.url + "/b.tar.zst")])
    trusting.banger("image", "import", https.url + "/plain", "--name", "there")
    imported(trusting, "there")


def test_https_of_an_authority_that_is_not_known(host, https, bundle):
    https.paths["/b.tar.zst"] = bundle
    refused(host, "net.tls", "certificate", https.url + "/b.tar.zst")
    assert https.requests == []


def test_https_under_another_name(trusting, https, bundle):
    """Its address is not in the certificate."""
    https.paths["/b.tar.zst"] = bundle
    refused(trusting, "net.tls", "127.0.0.1", https.url.replace("localhost", "127.0.0.1") + "/b.tar.zst")
    assert https.requests == []


def test_an_authority_file_that_is_not_there(trusting, https):
    trusting.banger("daemon", "stop")
    trusting.env["SSL_CERT_FILE"] = "/nowhere/ca.pem"
    refused(trusting, "net.tls", "/nowhere/ca.pem, which SSL_CERT_FILE names", https.url + "/b.tar.zst")
