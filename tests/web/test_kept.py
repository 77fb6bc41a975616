# SPDX-License-Identifier: ISC
"""A terminal whose page is loaded anew or whose connection breaks goes on; nobody else gets at it. The agent's sessions, without a guest."""
import base64
import os
import re
import socket
import struct
import subprocess

import pytest
from browser import expect
from conftest import BUILD, Answer
from waiting import wait_for

DATA, CREDIT, KEPT, DONE = 16, 18, 64, 8
WINDOW = 262144
VM = "shell-a"


@pytest.fixture(scope="module")
def shell(site):
    """A VM that is played, with the real agent's sessions: its commands run here."""
    assert "error" not in site.api("POST", "/v1/vms", {"name": VM, "memory_mib": 256})
    path = os.path.join(site.user.home, ".local/state/banger/run/vm", site.api("GET", f"/v1/vms/{VM}")["id"][:12], "agent.sock")
    wait_for(lambda: os.path.isdir(os.path.dirname(path)))
    # As root, which gives a terminal to who runs in it; the daemon is the user's.
    agent = subprocess.Popen([os.path.join(BUILD, "tests", "lib", "fake-guest"), path, site.api("GET", f"/v1/vms/{VM}")["id"]], stdin=subprocess.PIPE)
    try:
        wait_for(lambda: os.path.exists(path))
        os.chown(path, site.user.uid, site.user.gid)
        wait_for(lambda: site.api("GET", f"/v1/vms/{VM}")["ready"])
        yield site
    finally:
        agent.stdin.close()
        agent.wait(60)
        site.run("delete", VM, "--force")


def rows(page):
    return page.locator("#term .rows")


def open_terminal(site, page):
    page.goto(f"{site.base}/vms/{VM}")
    page.fill("[name=command]", "PS1='ready> ' exec bash --norc -i")
    page.fill("[name=user]", site.user.name)
    page.click("text=New session")
    expect(rows(page)).to_contain_text("ready>")
    page.click("#term")


def test_a_page_that_is_loaded_anew(shell, chrome):
    with chrome.page(shell) as page:
        open_terminal(shell, page)
        page.keyboard.type("clear; X=kept-$$; printf '\\033[?2004h\\033[?1h\\033[31mred\\033[0m\\n'; echo $X-here\n")
        expect(rows(page)).to_contain_text(re.compile(r"kept-\d+-here"))
        line = re.search(r"kept-\d+-here", rows(page).inner_text())[0]
        page.reload()
        expect(rows(page)).to_contain_text(line)  # the screen, its colours and its modes
        expect(rows(page).locator("span.f1", has_text="red").first).to_be_visible()
        assert page.evaluate("[term.screen.modes.appKeys, sessionStorage.length]") == [True, 0]
        expect(page.locator("#term .over")).to_have_count(0)
        page.click("#term")
        page.keyboard.type("echo again-$X\n")  # the same shell
        expect(rows(page)).to_contain_text(f"again-{line[:-5]}")
        # Another page and back; what was written meanwhile is there.
        page.keyboard.type("(until [ -e /proc/$$/fd/9 ] || [ -e ~/go ]; do sleep 0.1; done; rm ~/go; echo mean''while) &\n")
        page.click(".tabs >> text=Settings")
        expect(page.locator("[name=expose]")).to_be_visible()
        shell.user.run(["touch", os.path.join(shell.user.home, "go")])
        wait_for(lambda: not os.path.exists(os.path.join(shell.user.home, "go")))
        page.click(".tabs >> text=Terminal")
        expect(rows(page)).to_contain_text("meanwhile")
        # The connection breaks by itself: nothing is lost, nothing twice.
        page.click("#term")
        page.keyboard.type("clear; for i in 1 2 3 4 5 6 7 8; do echo n$i; sleep 0.2; done; echo the-''end\n")
        expect(rows(page)).to_contain_text("n2")
        page.evaluate("session.ws.onclose()")
        expect(rows(page)).to_contain_text("the-end")
        assert re.findall(r"n\d", rows(page).inner_text().split("done;")[-1].split("the-''end")[-1]) == [f"n{i}" for i in range(1, 9)]
        page.keyboard.type("exit\n")
        expect(page.locator("#term .over")).to_contain_text("Ended with status")
        page.reload()
        expect(page.locator("#term .over")).to_have_count(0)
        assert line not in rows(page).inner_text()


def test_a_full_screen_program(shell, chrome):
    """The other screen and its keys come back, with a size that changed between: painted whole."""
    with chrome.page(shell) as page:
        open_terminal(shell, page)
        page.keyboard.type("seq 500 | less\n")
        expect(rows(page)).to_have_text(re.compile(r"^1\s*2\s*3"))
        page.set_viewport_size({"width": 700, "height": 600})
        page.reload()
        expect(rows(page)).to_have_text(re.compile(r"^1\s*2\s*3"))
        page.click("#term")
        page.keyboard.press("ArrowDown")
        expect(rows(page)).to_have_text(re.compile(r"^2\s*3\s*4"))
        page.keyboard.type("q")
        expect(rows(page)).to_contain_text("seq 500 | less")  # the first screen is still there
        # A tab that lost its screen (it crashed) gets what it had not drawn, and the program paints anew.
        page.keyboard.type("seq 400 | less\n")
        expect(rows(page)).to_have_text(re.compile(r"^1\s*2\s*3"))
        page.evaluate("() => { session.seen = 0; session.ws.onclose(); }")
        expect(rows(page)).to_have_text(re.compile(r"^1\s*2\s*3"))



class Client:
    """A WebSocket by hand, as no browser sends it."""

    def __init__(self, site, cookie, keep, **query):
        port = site.port
        words = "".join(f"&{k}={v}" for k, v in query.items())
        self.s = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.s.sendall((f"GET /v1/vms/{VM}/terminal?rows=24&cols=80&keep={keep}{words} HTTP/1.1\r\nHost: banger.localhost:{port}\r\n"
                        f"Origin: {site.base}\r\nCookie: {cookie}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").encode())
        self.buf, self.got = b"", b""
        while b"\r\n\r\n" not in self.buf:
            piece = self.s.recv(65536)
            if not piece:
                break
            self.buf += piece
        head, _, rest = self.buf.partition(b"\r\n\r\n")
        self.status = Answer(head + b"\r\n\r\n").status
        self.buf = rest

    def need(self, n):
        while len(self.buf) < n:
            piece = self.s.recv(65536)
            if not piece:
                raise EOFError
            self.buf += piece

    def message(self):
        self.need(2)
        n, at = self.buf[1] & 127, 2
        if n == 126:
            self.need(4)
            n, at = struct.unpack(">H", self.buf[2:4])[0], 4
        elif n == 127:
            self.need(10)
            n, at = struct.unpack(">Q", self.buf[2:10])[0], 10
        self.need(at + n)
        opcode, body, self.buf = self.buf[0] & 15, self.buf[at:at + n], self.buf[at + n:]
        return opcode, body

    def frame(self):
        """(type, payload); (None, ...): the connection ended."""
        try:
            opcode, body = self.message()
        except EOFError:
            return None, b""
        if opcode == 8:
            return None, body
        return struct.unpack("<H", body[12:14])[0], body[16:]

    def kept(self):
        kind, body = self.frame()
        assert kind == KEPT, kind
        return struct.unpack("<QII", body)

    def until(self, text):
        while text not in self.got:
            kind, body = self.frame()
            assert kind is not None, (text, self.got)
            if kind == DATA:
                self.got += body

    def send(self, kind, sub, payload, opcode=2):
        data = struct.pack("<IIIHH", 0x31414742, len(payload), 1, kind, sub) + payload if opcode == 2 else payload
        head = bytes([0x80 | opcode]) + (bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xfe]) + struct.pack(">H", len(data)))
        self.s.sendall(head + b"\0\0\0\0" + data)

    def type(self, text):
        self.send(DATA, 0, text.encode())

    def drop(self):
        self.s.close()


def an_id():
    return os.urandom(16).hex()


def runs(pattern):
    return subprocess.run(["pgrep", "-f", pattern], stdout=subprocess.DEVNULL).returncode == 0


def test_what_the_daemon_keeps(shell):
    """By hand: counts of bytes, both windows, what is not true, a program that ended meanwhile."""
    cookie, mine = shell.sign_in(), an_id()
    a = Client(shell, cookie, mine, command="stty -echo; echo o''ne; read x; echo t''wo $x; read y; exit 3")
    assert a.kept() == (0, WINDOW, 0)
    a.until(b"one\r\n")
    a.drop()
    b = Client(shell, cookie, mine, seen=3)
    at, room, held = b.kept()
    assert (at, room, held) == (3, WINDOW, len(a.got) - 3)
    b.until(a.got[3:])
    b.type("typed\n")
    b.until(b"two typed\r\n")
    total = 3 + len(b.got)
    b.send(8, 0, struct.pack(">H", 1001), opcode=8)  # as a browser that leaves
    c = Client(shell, cookie, mine, seen=10**15)  # what it cannot have seen: from where credit was given
    at, room, held = c.kept()
    assert at == 3 and held == total - 3 and room in (WINDOW - 6, WINDOW)
    c.type("end\n")
    c.drop()
    wait_for(lambda: not runs("t''wo"))
    d = Client(shell, cookie, mine, seen=total)
    assert d.kept()[0] == total
    kinds = []
    while (kind := d.frame())[0] is not None:
        kinds.append(kind)
    assert kinds[-1] == (DONE, struct.pack("<ii", 0, 3 << 8)), kinds
    e = Client(shell, cookie, mine, command="exit 4")  # over and told: the id is free
    assert e.kept() == (0, WINDOW, 0)
    e.drop()


def test_ids_of_others(shell):
    """An id is a name among one's own: another browser's session, a guessed id, and a stolen one after sign-out begin a session of their own."""
    cookie, other, mine, marker = shell.sign_in(), shell.sign_in(), an_id(), os.getpid() + 100000
    a = Client(shell, cookie, mine, command=f"echo se''cret; exec sleep {marker}")
    a.until(b"secret")
    for who, name in ((other, mine), (cookie, an_id()), (other, an_id())):
        for state in ("connected", "dropped"):
            thief = Client(shell, who, name, seen=2, command="read x")
            assert thief.status == 101 and thief.kept() == (0, WINDOW, 0), (state, name == mine)
            thief.drop()
            if state == "connected" and who == other and name == mine:
                a.drop()
    for wrong in ("", "x" * 32, mine[:-1], mine.upper() + "0", mine[:-1] + "%00", mine + "0"):
        assert Client(shell, cookie, wrong).status in (400, 403, 422), wrong
    assert Client(shell, "a=b", mine).status == 403
    again = Client(shell, cookie, mine)
    assert again.kept()[0] == 0
    again.until(b"secret")
    again.drop()
    # Sign-out ends what waits, too.
    assert runs(f"^sleep {marker}")
    assert shell.ask("POST", "/sign-out", [("Cookie", cookie), ("Origin", shell.base)]).status == 303
    wait_for(lambda: not runs(f"^sleep {marker}"))
    assert Client(shell, cookie, mine).status == 403
    new = Client(shell, shell.sign_in(), mine, command="read x")
    assert new.kept() == (0, WINDOW, 0)
    new.drop()
    shell.run("web", "--sign-out")


def test_they_are_bounded(shell):
    """Eight of an owner wait: the one that waits longest ends. A client that closes by itself, or cheats, ends at once."""
    cookie, markers = shell.sign_in(), [200000 + os.getpid() * 20 + n for n in range(9)]
    for n in markers:
        c = Client(shell, cookie, an_id(), command=f"echo r''eady; exec sleep {n}")
        c.until(b"ready")
        c.drop()
    wait_for(lambda: not runs(f"^sleep {markers[0]}"))
    assert runs(f"^sleep {markers[1]}") and runs(f"^sleep {markers[8]}")
    for marker, cheat in enumerate(("closes", "credit"), markers[8] + 1):
        c = Client(shell, cookie, an_id(), command=f"echo r''eady; exec sleep {marker}")
        c.until(b"ready")
        if cheat == "closes":
            c.send(8, 0, b"", opcode=8)
        else:
            c.send(CREDIT, 1, struct.pack("<I", 100_000))
        wait_for(lambda: not runs(f"^sleep {marker}"))
    # Nothing beyond a window is held of what a program writes meanwhile.
    mine = an_id()
    c = Client(shell, cookie, mine, command="echo r''eady; yes abcdefg")
    c.until(b"ready")
    c.drop()
    c = Client(shell, cookie, mine)
    assert c.kept()[2] <= WINDOW
    c.send(8, 0, b"", opcode=8)
    shell.run("web", "--sign-out")
    wait_for(lambda: not runs(f"^sleep {markers[8]}"))
