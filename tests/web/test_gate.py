# SPDX-License-Identifier: ISC
"""Who is let in (docs/web.md): requests by hand, of every kind, each rule broken by itself."""
import base64
import os
import socket
import subprocess

import pytest

SAME = [("Sec-Fetch-Site", "same-origin")]
HEADERS = {
    "x-frame-options": "DENY", "x-content-type-options": "nosniff", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
}


def own(site):
    return [("Origin", site.base)]


def vms(site):
    return [vm["name"] for vm in site.api("GET", "/v1/vms")["vms"]]


def socket_headers(cookie):
    return [("Cookie", cookie), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode())]


def test_every_answer_has_the_headers(site, cookie):
    for answer in (site.ask(), site.ask(headers=[("Cookie", cookie)]), site.ask(path="/nope", headers=[("Cookie", cookie)]),
                   site.ask(host="evil.example"), site.ask("PUT"), site.ask("POST", "/create"), site.ask(path="/open/wrong"),
                   site.ask(path="/a/none"), site.ask(path="/live")):
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, (answer.status, answer.headers)
        csp = answer.headers["content-security-policy"]
        assert "default-src 'none'" in csp and "frame-ancestors 'none'" in csp and "unsafe" not in csp
        assert "require-trusted-types-for 'script'" in csp
        assert answer.headers["cache-control"] == "no-store"
        assert not any(name.startswith("access-control") or name == "server" for name in answer.headers)


@pytest.mark.parametrize("host", [
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "banger.localhost.", "evil.localhost", "x.banger.localhost",
    "0.0.0.0", "[::1]", "::1", "127.0.0.2", "banger.localhost:", "banger.localhost:0", "banger.localhost:99999", "banger.localhost:80x",
    "user@banger.localhost", "banger.localhost,evil.example", "banger", ""])
def test_rebinding(site, cookie, host):
    """A page that resolves to us has its own name in Host: nothing is answered, whatever else it sends."""
    for path in ("/", "/live", "/open/x", "/a/x"):
        answer = site.ask(path=path, headers=[("Cookie", cookie), *SAME], host=host or " ")
        assert answer.status in (400, 421) and not answer.body.startswith(b"<!doctype"), (host, path, answer.text)


def test_hosts_that_are_ours(site, cookie):
    for host in ("banger.localhost", "BANGER.localhost:9000", f"banger.localhost:{site.port}"):
        assert site.ask(headers=[("Cookie", cookie)], host=host).status == 200
    for host in ("127.0.0.1:9000", "localhost:9000"):
        answer = site.ask(headers=[("Cookie", cookie)], host=host)
        assert answer.status == 200 and answer.headers["refresh"] == "0; url=http://banger.localhost:9000/"
        assert b"data-vm" not in answer.body
        assert site.ask("POST", "/create", [("Cookie", cookie), ("Origin", "http://" + host)], host=host).status == 403


def test_two_hosts_or_none(site, cookie):
    assert site.ask(headers=[("Host", "banger.localhost"), ("Cookie", cookie)]).status == 421
    assert site.ask(headers=[("Cookie", cookie)], host=False).status in (400, 421)
    assert site.raw(b"GET http://evil.example/ HTTP/1.1\r\nHost: banger.localhost\r\nCookie: " + cookie.encode() + b"\r\n\r\n").status != 200
    assert site.raw(b"GET / HTTP/1.0\r\n\r\n").status in (400, 421)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "DELETE"])
def test_methods(site, cookie, method):
    for path in ("/", "/live", "/create"):
        assert site.ask(method, path, [("Cookie", cookie), *own(site), *SAME]).status in (405, 501)


@pytest.mark.parametrize("extra", [
    [], [("Origin", "null")], [("Origin", "http://evil.example")], [("Origin", "https://banger.localhost")], [("Origin", "http://banger.localhost:1")],
    [("Origin", "http://127.0.0.1:8080")]])
def test_posts_of_others(site, cookie, extra):
    before = vms(site)
    assert site.ask("POST", "/create", [("Cookie", cookie), *extra], b"name=stolen&start=0").status == 403
    assert vms(site) == before


def test_posts_that_only_look_right(site, cookie):
    before = vms(site)
    body = b"name=stolen&start=0"
    for headers in ([*own(site)], [("Cookie", cookie), *own(site), ("Sec-Fetch-Site", "same-site")],
                    [("Cookie", cookie), *own(site), ("Sec-Fetch-Site", "cross-site")],
                    [("Cookie", cookie), *own(site), *own(site)], [("Cookie", cookie[:-1] + "A"), *own(site)],
                    [("Cookie", cookie), ("Cookie", "a=b"), *own(site)],
                    [("Cookie", cookie), *own(site), ("Content-Type", "text/plain")],
                    [("Cookie", cookie), *own(site), ("Content-Type", "application/json")]):
        assert site.ask("POST", "/create", headers, body).status == 403, headers
    assert site.ask(path="/create?name=stolen", headers=[("Cookie", cookie)]).status == 405
    assert vms(site) == before


def test_a_form_of_ours(site, cookie):
    answer = site.ask("POST", "/create", [("Cookie", cookie), *own(site), *SAME], b"name=gate-a&start=0&nat=1&memory_mib=256M&labels=a%3Db")
    assert (answer.status, answer.headers.get("location")) == (303, "/vms/gate-a"), answer.text
    vm = site.api("GET", "/v1/vms/gate-a")
    assert (vm["memory_mib"], vm["labels"], vm["nat"]) == (256, {"a": "b"}, True)
    answer = site.ask("POST", "/create", [("Cookie", cookie), *own(site)], b"name=Bad+Name")
    assert answer.status in (400, 422) and "names are 1 to 40" in answer.text
    site.run("op", "list")
    while site.api("GET", "/v1/vms/gate-a")["operation"]:
        pass
    answer = site.ask("POST", "/vms/gate-a/remove", [("Cookie", cookie), *own(site), ("Accept", "application/json")])
    assert (answer.status, answer.body.strip()) == (200, b'{"to":"/"}')


def test_events_of_others(site, cookie):
    """EventSource and fetch from elsewhere, with or without the cookie."""
    for headers in ([], [("Cookie", cookie)], [("Cookie", cookie), ("Sec-Fetch-Site", "same-site")], SAME,
                    [("Cookie", cookie), *SAME, ("Origin", "http://evil.example")],
                    [("Cookie", cookie), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]):
        if headers == [("Cookie", cookie)]:
            continue  # an old browser's navigation; see below
        for path in ("/live", "/v1/vms/x/logs"):
            answer = site.ask(path=path, headers=headers)
            assert answer.status == 403 and b"vms" not in answer.body, (path, headers)


def test_the_api_is_not_there(site, cookie):
    for path in ("/v1/vms", "/v1/daemon", "/v1/events", "/v1/web/token", "/v1/vms/x/exec"):
        assert site.ask(path=path, headers=[("Cookie", cookie), *SAME, ("Sec-Fetch-Mode", "cors")]).status in (403, 404)
    assert site.ask("POST", "/v1/web/token", [("Cookie", cookie), *own(site)]).status == 405


def test_sockets_of_others(site, cookie):
    path = "/v1/vms/x/terminal?rows=24&cols=80"
    right = socket_headers(cookie)
    assert site.ask(path=path, headers=[*right, *own(site)]).status == 404  # no such VM: through the gate
    for headers in (right, [*right, ("Origin", "http://127.0.0.1:8080")], [*right, ("Origin", "null")], [*right, *own(site), ("Sec-Fetch-Site", "same-site")],
                    [*socket_headers("a=b"), *own(site)], [*right, *own(site), *own(site)]):
        assert site.ask(path=path, headers=headers).status == 403


def test_pages_fetched_by_others(site, cookie):
    for headers in ([("Sec-Fetch-Mode", "cors")], [("Sec-Fetch-Dest", "iframe")], [("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "no-cors")],
                    [("Origin", "http://evil.example")]):
        assert site.ask(headers=[("Cookie", cookie), *headers]).status == 403, headers


def test_a_link_from_elsewhere(site, cookie):
    """The browser holds a Strict cookie back: once more from our own page, then the truth."""
    navigate = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    answer = site.ask(headers=navigate, path="/images")
    assert (answer.status, answer.headers["refresh"]) == (200, "0; url=/images?r=1")
    assert site.ask(headers=[*navigate], path="/images?r=1").status == 403
    assert site.ask(headers=[("Cookie", cookie), *SAME, *navigate[1:]], path="/images?r=1").status == 200
    for path in ("//evil.example/", "/%5cevil.example", "/\\evil.example", "/;evil"):
        assert "evil" not in site.ask(headers=navigate, path=path).headers.get("refresh", "")


def test_the_icon_of_a_log(site):
    """A text that is read as a page of its own names no icon: browsers then ask for this one, and what they are refused goes to their console."""
    answer = site.ask(path="/favicon.ico", headers=[*SAME, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml") and answer.body.startswith(b"<svg")
    assert site.ask(path="/favicon.ico", headers=[("Sec-Fetch-Site", "cross-site")]).status == 403


def test_without_a_cookie_it_says_how(site):
    answer = site.ask()
    assert answer.status == 403 and "banger web" in answer.text and "data-vm" not in answer.text


def test_a_token_is_good_once(site):
    path = site.link().split(str(site.port))[1]
    refused = site.ask(path=path, headers=[("Sec-Purpose", "prefetch")])
    assert refused.status == 403 and "set-cookie" not in refused.headers
    assert site.ask(path=path, headers=[("Sec-Fetch-Dest", "iframe")]).status == 403
    first = site.ask(path=path)
    assert first.status == 200
    words = [word.strip() for word in first.headers["set-cookie"].split(";")]
    assert words[0].startswith("__Host-banger-") and {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(words)
    assert path.rsplit("/", 1)[1] not in words[0]
    again = site.ask(path=path)
    assert again.status == 403 and "set-cookie" not in again.headers and "has been used" in again.text


def test_wrong_tokens_shut_the_door(site):
    """For a minute; run last of those that sign in, on a daemon of its own."""
    site.run("daemon", "restart")
    del site._port
    good = site.link().split(str(site.port))[1]
    assert [site.ask(path=f"/open/wrong{n}").status for n in range(5)] == [403] * 5
    assert site.ask(path=good).status == 429
    site.run("daemon", "restart")
    del site._port
    assert site.ask(path=good).status == 403  # it was the last daemon's


def test_sign_out(site):
    cookie = site.sign_in()
    assert site.ask(headers=[("Cookie", cookie)]).status == 200
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as live:
        live.sendall(f"GET /live HTTP/1.1\r\nHost: banger.localhost\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n\r\n".encode())
        assert b"event: all" in live.recv(65536) + live.recv(65536)
        answer = site.ask("POST", "/sign-out", [("Cookie", cookie), *own(site)])
        assert answer.status == 303 and "Max-Age=0" in answer.headers["set-cookie"]
        rest = b""
        while b"event: bye" not in rest:
            piece = live.recv(65536)
            assert piece, "the stream ended without a word"
            rest += piece
    assert site.ask(headers=[("Cookie", cookie)]).status == 403


def follow(site, cookie, path):
    """A connection that goes on, once its answer has begun."""
    s = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: banger.localhost\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n\r\n".encode())
    assert b"200 OK" in s.recv(4096)
    return s


def is_over(s):
    while s.recv(65536):
        pass
    s.close()
    return True


def test_what_is_open_ends_with_its_session(site):
    """A log that is followed; a terminal is in test_terminal.py. Another browser's goes on."""
    site.run("create", "logged", "--memory", "256M")
    path, cookie, other = "/v1/vms/logged/logs?follow=1", site.sign_in(), site.sign_in()
    mine, others = follow(site, cookie, path), follow(site, other, path)
    assert site.ask("POST", "/sign-out", [("Cookie", cookie), *own(site)]).status == 303
    assert is_over(mine)
    others.setblocking(False)
    try:
        while others.recv(65536):
            pass
        raise AssertionError("another browser's log ended, too")
    except BlockingIOError:
        others.settimeout(20)
    # the seventeenth session ends the first
    for _ in range(16):
        site.sign_in()
    assert is_over(others)
    site.run("delete", "logged", "--force")


def test_sign_out_of_all(site):
    cookie = site.sign_in()
    assert int(site.run("web", "--sign-out").split()[0]) >= 1
    assert site.ask(headers=[("Cookie", cookie)]).status == 403


def test_another_user_of_this_machine(site):
    """A stolen token and a stolen cookie are worth nothing to another uid."""
    cookie = site.sign_in()
    for path in ("/", site.link().split(str(site.port))[1]):
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-s", "-i", "-H", f"Cookie: {cookie}",
                               f"http://127.0.0.1:{site.port}{path}", "-H", "Host: banger.localhost"], capture_output=True, text=True)
        # the connection is shut down at once, or the request was there already
        assert not done.stdout or ("403" in done.stdout.split("\n")[0] and "refused" in done.stdout and "Set-Cookie" not in done.stdout)
    assert site.ask(headers=[("Cookie", cookie)]).status == 200


CROWD = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
crowd = []
for _ in range(int(sys.argv[2])):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
    crowd.append(s)
for s in crowd:
    s.settimeout(60)
    try:
        assert s.recv(1) == b""
    except ConnectionResetError:
        pass
print("all shut")
"""


def test_another_users_connections_are_not_kept(site):
    """Who sends nothing has no request to refuse, and would hold descriptors of the daemon's."""
    done = subprocess.run(["/usr/bin/python3", "-c", CROWD, str(site.port), "60"], capture_output=True, text=True, timeout=120)
    assert done.stdout == "all shut\n", done.stderr


def refused(ask, *args, **more):
    """The status; 0: the connection was closed in the middle of what was sent."""
    try:
        return ask(*args, **more).status
    except OSError as e:
        assert not isinstance(e, TimeoutError), "it holds the connection"
        return 0


def test_what_is_too_large(site):
    """Heads, bodies, fields and paths beyond any need: refused, and the next request is answered."""
    cookie = site.sign_in()
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert refused(site.ask, path="/", headers=[("Cookie", cookie), ("X-Large", "x" * 100_000)]) in (0, 400, 413, 431)
    assert refused(site.ask, path="/" + "x" * 100_000, headers=[("Cookie", cookie)]) in (0, 400, 404, 413, 414, 431)
    assert site.ask(path="/?q=" + "%3C" * 4000, headers=[("Cookie", cookie)]).status == 200
    for body in (b"name=" + b"x" * 1_500_000, b"a=1&" * 400_000):
        assert refused(site.ask, "POST", "/create", [("Cookie", cookie), *own(site), form], body) in (0, 400, 403, 413)
    promised = f"POST /create HTTP/1.1\r\nHost: banger.localhost:{site.port}\r\nCookie: {cookie}\r\nOrigin: {site.base}\r\nContent-Length: 99999999999\r\n\r\n"
    assert refused(site.raw, promised.encode() + b"x=1") in (0, 400, 413)
    endless = promised.replace("Content-Length: 99999999999", "Transfer-Encoding: chunked").encode() + b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert refused(site.raw, endless + b"200000\r\n" + b"x" * 0x200000) in (0, 400, 413)
    many = "&".join(f"vm=no-{n}" for n in range(3000)).encode()
    assert site.ask("POST", "/many/start", [("Cookie", cookie), *own(site), form], many).status in (303, 404, 409)
    assert site.ask(headers=[("Cookie", cookie)]).status == 200


def test_a_hundred_streams_and_slow_readers(site):
    """A session has four streams of events, the oldest go; who reads nothing or writes a byte at a time holds nobody up."""
    cookie = site.sign_in()
    slow = [socket.create_connection(("127.0.0.1", site.port), timeout=60) for _ in range(50)]
    streams = []
    try:
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHo")
        for _ in range(100):
            streams.append(follow(site, cookie, "/live"))
        for s in streams[:96]:
            told = b""
            while b"event: full" not in told:
                piece = s.recv(65536)
                assert piece, "the stream ended without a word"
                told += piece
        assert site.ask(headers=[("Cookie", cookie)]).status == 200
        for s in slow:
            s.sendall(b"st: banger.localhost\r\nConnection: close\r\n\r\n")
        assert slow[0].recv(12) == b"HTTP/1.1 403"
    finally:
        for s in [*slow, *streams[96:]]:
            s.close()


def test_busy_port_is_a_warning(site):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        site.config(f'web = "127.0.0.1:{port}"\n')
        site.run("daemon", "restart")
        status = site.run("daemon", "status")
        assert f"the web page on 127.0.0.1:{port}" in status and "running" in status
        done = site.run("web", "--print", check=False)
        assert done.returncode != 0 and "there is no web page" in done.stderr
    site.config('web = ""\n')
    site.run("daemon", "restart")
    assert "turned off" in site.run("web", "--print", check=False).stderr
    for wrong in ("0.0.0.0:7777", "127.0.0.1", "10.0.0.1:80", "127.0.0.1:70000", "localhost:80"):
        site.config(f'web = "{wrong}"\n')
        assert "is not a loopback address with a port" in site.run("daemon", "restart", check=False).stderr
    site.config('web = "127.0.0.1:0"\n')
    site.run("daemon", "restart")
    del site._port
