# SPDX-License-Identifier: ISC
"""The fetch job against servers that do well, badly and worse."""
import os
import signal

import pytest

from conftest import sha256
from jobs import Failed, Job, run
from waiting import wait_for

DATA = os.urandom(3 << 20)


def fetch(server, out, path="/file", **params):
    return run("fetch", [out.fd, out.fd], url=server.url + path, **params)


def refused(server, out, code, words, path="/file", **params):
    with pytest.raises(Failed) as e:
        fetch(server, out, path, **params)
    assert (e.value.code, words in e.value.message) == (code, True), str(e.value)
    return e.value


def test_fetches_and_tells_the_digest(server, out):
    server.paths["/file"] = DATA
    result = fetch(server, out)
    assert out.read() == DATA
    assert result == {"bytes": len(DATA), "fetched": len(DATA), "sha256": sha256(DATA)}


def test_goes_on_where_the_last_try_ended(server, out):
    server.paths["/file"] = DATA
    out.path.write_bytes(DATA[:1000000])
    result = fetch(server, out, sha256=sha256(DATA))
    assert out.read() == DATA
    assert result["fetched"] == len(DATA) - 1000000
    assert server.requests == [("/file", "bytes=1000000-", None)]


def test_asks_nothing_when_all_is_there(server, out):
    out.path.write_bytes(DATA)
    assert fetch(server, out, sha256=sha256(DATA))["fetched"] == 0
    assert server.requests == []


def test_leftovers_of_something_else_are_fetched_anew(server, out):
    server.paths["/file"] = DATA
    for old in (b"x" * 5000, b"x" * (len(DATA) + 5)):
        out.path.write_bytes(old)
        fetch(server, out, sha256=sha256(DATA))
        assert out.read() == DATA


def test_without_digest_nothing_old_is_used(server, out):
    server.paths["/file"] = DATA
    out.path.write_bytes(b"x" * 100)
    fetch(server, out)
    assert out.read() == DATA


def test_a_server_without_ranges(server, out):
    server.paths["/file"] = lambda h: h.body(DATA)
    out.path.write_bytes(DATA[:77])
    fetch(server, out, sha256=sha256(DATA))
    assert out.read() == DATA


def test_a_connection_that_breaks_is_taken_up_again(server, out):
    def broken(h):
        if len(server.requests) > 2:
            return h.ranged(DATA)
        start = int((h.headers.get("Range") or "bytes=0-")[6:-1])
        h.body(DATA[start:start + 500000], 206 if start else 200, length=len(DATA) - start)
        h.cut()

    server.paths["/file"] = broken
    result = fetch(server, out, sha256=sha256(DATA))
    assert out.read() == DATA and result["fetched"] == len(DATA)
    assert [r[1] for r in server.requests] == [None, "bytes=500000-", "bytes=1000000-"]


def test_a_connection_that_always_breaks(server, out):
    def broken(h):
        h.body(b"", length=100)
        h.cut()

    server.paths["/file"] = broken
    refused(server, out, "net.broken", "broke 5 times")


def test_wrong_digest_leaves_nothing(server, out):
    server.paths["/file"] = DATA
    e = refused(server, out, "net.digest_mismatch", sha256(DATA), sha256="0" * 64)
    assert "0" * 64 in e.message and out.read() == b""


def test_status(server, out):
    refused(server, out, "net.status", "404", path="/nothing")
    server.paths["/broken"] = lambda h: h.body(b"x" * 100000, 500)
    refused(server, out, "net.status", "500", path="/broken")
    assert out.read() == b""


def test_endless_redirects(server, out):
    server.paths["/file"] = lambda h: h.body(b"", 302, [("Location", "/file?again")])
    refused(server, out, "net.redirects", "redirects more than 10 times")
    assert len(server.requests) == 11


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "dict://127.0.0.1:11/x"])
def test_redirects_only_to_http(server, out, where):
    server.paths["/file"] = lambda h: h.body(b"", 302, [("Location", where)])
    refused(server, out, "net.unreachable", "rotocol")
    assert out.read() == b""


def test_a_redirect_is_followed(server, out):
    server.paths["/file"] = lambda h: h.body(b"moved", 302, [("Location", "/there")])
    server.paths["/there"] = DATA
    fetch(server, out)
    assert out.read() == DATA


def test_stalls(server, out):
    server.paths["/silent"] = lambda h: h.stall()

    def halfway(h):
        h.body(DATA[:1000], length=len(DATA))
        h.stall()

    server.paths["/halfway"] = halfway
    refused(server, out, "net.stalled", "does not answer", path="/silent", stall_s=1)
    e = refused(server, out, "net.stalled", "nothing came for 1 seconds", path="/halfway", stall_s=1, sha256=sha256(DATA))
    assert "what has arrived is kept" in e.hint
    assert out.read() == DATA[:1000]


def test_too_large(server, out):
    server.paths["/file"] = DATA
    refused(server, out, "net.too_large", "larger than the 1000 bytes", max_size=1000)

    def chunks(h):
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        while True:
            h.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    server.paths["/endless"] = chunks
    refused(server, out, "net.too_large", "larger than", path="/endless", max_size=1 << 20)
    assert len(out.read()) <= 1 << 20


def test_nobody_listens(out):
    with pytest.raises(Failed) as e:
        run("fetch", [out.fd, out.fd], url="http://127.0.0.1:1/x")
    assert e.value.code == "net.unreachable" and "connect" in e.value.message


def test_a_name_that_there_is_not(out):
    with pytest.raises(Failed) as e:
        run("fetch", [out.fd, out.fd], url="http://nowhere.invalid/x")
    assert e.value.code == "net.unreachable" and "resolve host" in e.value.message


def test_a_name_from_hosts(server, out):
    server.paths["/file"] = b"hello"
    run("fetch", [out.fd, out.fd], url=f"http://localhost:{server.port}/file")
    assert out.read() == b"hello"


def test_a_certificate_of_nobody(out, tls_server):
    with pytest.raises(Failed) as e:
        run("fetch", [out.fd, out.fd], url=tls_server)
    assert e.value.code == "net.tls", str(e.value)


def test_a_file(out, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(DATA)
    with open(source, "rb") as f:
        result = run("fetch", [out.fd, f.fileno()], url=f"file://{source}", sha256=sha256(DATA))
        assert out.read() == DATA and result == {"bytes": len(DATA), "fetched": 0, "sha256": sha256(DATA)}
        with pytest.raises(Failed) as e:
            run("fetch", [out.fd, f.fileno()], url=f"file://{source}", sha256="1" * 64)
    assert e.value.code == "net.digest_mismatch" and out.read() == b""


@pytest.mark.parametrize("params", [{}, {"url": 5}, {"url": "http://x/", "sha256": "A" * 64}, {"url": "http://x/", "max_size": 0},
                                    {"url": "http://x/", "stall_s": 0}])
def test_wrong_parameters(out, params):
    with pytest.raises(Failed) as e:
        run("fetch", [out.fd, out.fd], **params)
    assert e.value.code == "worker.failed"


def test_cancel(server, out):
    def slow(h):
        h.body(DATA[:1000], length=len(DATA))
        h.stall()

    server.paths["/file"] = slow
    job = Job("fetch", [out.fd, out.fd], url=server.url + "/file")
    while "progress" not in job.next():
        pass
    job.sock.close()
    assert job.process.wait(10) == 1


def test_killed_in_the_middle(server, out):
    server.paths["/file"] = DATA

    def half(h):
        h.body(DATA[:2000000], length=len(DATA))
        h.stall()

    server.paths["/half"] = half
    job = Job("fetch", [out.fd, out.fd], url=server.url + "/half", sha256=sha256(DATA))
    while out.path.stat().st_size < 2000000:
        job.next()
    job.kill()
    assert job.process.returncode == -signal.SIGKILL
    assert fetch(server, out, sha256=sha256(DATA))["fetched"] == len(DATA) - 2000000
    assert out.read() == DATA


def test_by_name(server, out):
    """Names are the dialer's work: the job itself makes no socket."""
    server.paths["/file"] = DATA
    assert run("fetch", [out.fd, out.fd], url=f"http://localhost:{server.port}/file")["bytes"] == len(DATA)
    with pytest.raises(Failed) as e:
        run("fetch", [out.fd, out.fd], url="http://no-such-host.invalid/file")
    assert "no-such-host.invalid" in e.value.message and e.value.code == "net.unreachable", str(e.value)


def test_nothing_is_left_of_a_job_that_is_killed(server, out):
    """Its dialer ends with it."""
    server.paths["/file"] = lambda h: h.stall()
    job = Job("fetch", [out.fd, out.fd], url=server.url + "/file")

    def children():
        with open(f"/proc/{job.process.pid}/task/{job.process.pid}/children") as f:
            return f.read().split()

    wait_for(lambda: server.requests)
    dialer, = children()
    job.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{dialer}") or open(f"/proc/{dialer}/stat").read().rsplit(") ", 1)[1][0] == "Z")
