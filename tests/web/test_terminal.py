# SPDX-License-Identifier: ISC
"""The terminal in the page: its emulator by what it makes of bytes, and a shell in quickstart's guest by what is typed."""
import os
import re
import subprocess

import pytest
from browser import expect, shot
from waiting import wait_for

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
GUEST = "hello"


class Quickstart:
    """The user of scripts/as-user, with the VM that scripts/quickstart left running."""

    def __init__(self):
        self.status = self.banger("exec", GUEST, "--", "true")
        self.base = ""

    def banger(self, *args):
        return subprocess.run([ROOT + "/scripts/as-user", "banger", *args], capture_output=True, text=True, cwd=ROOT)

    def link(self):
        url = self.banger("web", "--print").stdout.strip()
        self.base = re.match(r"http://[^/]+", url)[0]
        return url


@pytest.fixture(scope="module")
def guest():
    q = Quickstart()
    if q.status.returncode != 0:
        pytest.skip(f"quickstart's VM {GUEST} does not run here: {q.status.stderr.strip()}")
    return q


def rows(page):
    return page.locator("#term .rows")


def test_a_shell(guest, chrome):
    with chrome.page(guest, viewport={"width": 1280, "height": 900}) as page:
        page.goto(f"{guest.base}/vms/{GUEST}")
        expect(rows(page)).to_contain_text("#")
        page.click("#term")
        page.keyboard.type("printf '\\033[1;31mred\\033[0m %s\\n' $((6*7)); stty size\n")
        expect(rows(page)).to_contain_text("red 42")
        red = rows(page).locator("span.f9.t-b", has_text="red")
        expect(red.first).to_be_visible()
        assert red.first.evaluate("e => getComputedStyle(e).color") == "rgb(255, 176, 168)"
        size = page.evaluate("`${term.screen.rows} ${term.screen.cols}`")
        expect(rows(page)).to_contain_text(size)
        page.set_viewport_size({"width": 900, "height": 700})
        page.keyboard.type("stty size\n")
        expect(page.locator("#term-size")).not_to_have_text(" × ".join(reversed(size.split())))
        expect(rows(page)).to_contain_text(page.evaluate("`${term.screen.rows} ${term.screen.cols}`"))
        # Ctrl-C ends what writes without end; the tab's memory is one window of it.
        page.keyboard.type("clear; yes abcdefghij\n")
        expect(rows(page)).to_have_text(re.compile(r"(abcdefghij\s*){15}"))  # it runs: what was typed is not meant
        page.keyboard.press("Control+c")
        page.keyboard.type("echo still-$((1+1))-here\n")
        expect(rows(page)).to_contain_text("still-2-here")
        page.keyboard.type("clear; echo now-$((1+1)); cat > /tmp/typed\n")
        expect(rows(page)).to_contain_text("now-2")
        page.evaluate("term.paste('pasted ünïcödé 中文 one line')")
        page.keyboard.press("Enter")
        page.keyboard.press("Control+d")
        page.keyboard.type("echo then-$((1+2))\n")
        expect(rows(page)).to_contain_text("then-3")
        assert "pasted ünïcödé 中文 one line" in guest.banger("exec", GUEST, "--", "cat", "/tmp/typed").stdout
        shot(page, "terminal-real")
        page.keyboard.press("Control+Shift+M")
        assert page.evaluate("document.activeElement.textContent") == "Terminal"
        page.click("#term")
        page.keyboard.type("exit 7\n")
        expect(page.locator("#term .over")).to_contain_text("Ended with status 7")
        # what becomes of the VM meanwhile opens none
        assert guest.banger("vm", "set", GUEST, "--label", f"seen={os.getpid()}").returncode == 0
        wait_for(lambda: page.evaluate(f"vms.get('{GUEST}')?.labels.includes('seen={os.getpid()}')"))
        expect(page.locator("#term .over")).to_contain_text("Ended with status 7")
        page.keyboard.press("Enter")
        expect(page.locator("#term .over")).to_have_count(0)


def test_a_command_and_a_user(guest, chrome):
    with chrome.page(guest) as page:
        page.goto(f"{guest.base}/vms/{GUEST}")
        expect(rows(page)).to_contain_text("#")
        page.fill("[name=command]", "id -un; tty; read x")
        page.fill("[name=user]", "nobody")
        page.click("text=New session")
        expect(rows(page)).to_contain_text("nobody")
        expect(rows(page)).to_contain_text("/dev/pts/")


def test_sign_out_ends_a_terminal(guest, chrome):
    with chrome.page(guest, quiet=False) as page, chrome.page(guest, quiet=False) as other:  # who is signed out is refused, and that is said
        for p in (page, other):
            p.goto(f"{guest.base}/vms/{GUEST}")
            expect(rows(p)).to_contain_text("#")
        page.click("#term")
        page.keyboard.type("exec sleep 98765\n")
        wait_for(lambda: guest.banger("exec", GUEST, "--", "pgrep", "-f", "^sleep 98765").returncode == 0)
        other.evaluate("fetch('/sign-out', {method: 'POST'})")  # of its own session alone
        expect(other.locator("#term .over")).to_be_visible()
        expect(page.locator("#term .over")).to_have_count(0)
        assert guest.banger("web", "--sign-out").returncode == 0
        expect(page.locator("#term .over")).to_be_visible()
        wait_for(lambda: guest.banger("exec", GUEST, "--", "pgrep", "-f", "^sleep 98765").returncode != 0)


def screen(page, text, rows_=6, cols=20):
    """[lines without blanks at their ends, row, column, answers]"""
    return page.evaluate("""([text, rows, cols]) => {
        const s = new Screen(rows, cols), answers = [];
        s.answer = t => answers.push(t);
        s.write(Uint8Array.from(text));
        return [s.lines.map(l => l.c.join('').trimEnd()), s.y, s.x, answers.join(''), s.styles.length];
    }""", [list(text.encode("utf-8") if isinstance(text, str) else text), rows_, cols])


CASES = [
    ("plain", "a\r\nb", ["a", "b"], (1, 1)),
    ("wrap at the edge, only when more comes", "x" * 20, ["x" * 20], (0, 19)),
    ("wrap", "x" * 21, ["x" * 20, "x"], (1, 1)),
    ("cursor and erase", "abcdef\x1b[3D\x1b[K\x1b[2;5Hq", ["abc", "    q"], (1, 5)),
    ("insert and delete", "abcd\x1b[2G\x1b[2@XY\x1b[1G\x1b[P", ["XYbcd"], (0, 0)),
    ("scroll region", "\x1b[2;3r\x1b[2;1Ha\r\nb\r\nc\x1b[r", ["", "b", "c"], (0, 0)),
    ("lines", "a\r\nb\r\nc\x1b[2;1H\x1b[L", ["a", "", "b", "c"], (1, 0)),
    ("reverse index", "a\x1b[H\x1bMb", ["b", "a"], (0, 1)),
    ("alternate screen", "main\x1b[?1049hother\x1b[?1049l!", ["main!"], (0, 5)),
    ("line drawing", "\x1b(0lqk\x1b(Bq", ["┌─┐q"], (0, 4)),
    ("wide", "中a\x1b[1G ", ["  a"], (0, 1)),
    ("wide at the edge", "x" * 19 + "中", ["x" * 19, "中"], (1, 2)),
    ("combining", "e\u0301x", ["e\u0301x"], (0, 2)),
    ("tabs", "a\tb\x1b[Z\x1b[Zc", ["c       b"], (0, 1)),
    ("repeat", "a\x1b[3b", ["aaaa"], (0, 4)),
    ("cut in a character", b"\xe4\xb8", [""], (0, 0)),
    ("not UTF-8", b"a\xffb", ["a\ufffdb"], (0, 3)),
    ("strings are swallowed", "a\x1b]52;c;aGk=\x07b\x1bPq#0\x1b\\c\x1b_x\x1b\\d\x1b]8;;http://x\x07e", ["abcde"], (0, 5)),
    ("a string without end, cancelled", "a\x1b]0;" + "x" * 9000 + "\x18b", ["ab"], (0, 2)),
    ("colours", "\x1b[31;42;1mr\x1b[38;5;200mx\x1b[38;2;1;2;3my\x1b[38:2::1:2:3mz\x1b[0m.", ["rxyz."], (0, 5)),
    ("size of the window is not asked", "\x1b[18t\x1b[8;99;99t.", ["."], (0, 1)),
]


def test_what_bytes_become(site, chrome):
    with chrome.page(site) as page:
        for name, text, lines, place in CASES:
            got = screen(page, text)
            while got[0] and not got[0][-1] and len(got[0]) > len(lines):
                got[0].pop()
            assert (got[0], tuple(got[1:3])) == (lines, place), name


def test_answers_are_fixed(site, chrome):
    with chrome.page(site) as page:
        assert screen(page, "ab\x1b[6n\x1b[5n\x1b[c\x1b[>c")[3] == "\x1b[1;3R\x1b[0n\x1b[?1;2c\x1b[>0;10;1c"
        for text in ("\x1bP$qm\x1b\\", "\x1b]0;echo owned\x07\x1b[21t", "\x1bP+q544e\x1b\\", "\x1b[>q", "\x1b]10;?\x07", "\x1b[?6n\x1bZ"):
            assert screen(page, text)[3] == "", repr(text)


def test_any_bytes(site, chrome):
    """Random sequences and sizes: the shape holds, memory is bounded."""
    with chrome.page(site) as page:
        assert page.evaluate("""() => {
            const s = new Screen(24, 80), bits = '0123456789;;:?>[]()#hlmrHJKLMPSTXABCDdf@78McDEP_^\\x1b\\x1b\\x1b[[[\\n\\r\\t\\b\\x07é中\\u0301 abc';
            let seed = 12345;
            const next = n => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
            const chars = [...bits];
            for (let i = 0; i < 3000; i++) {
                let text = '';
                for (let k = next(80); k >= 0; k--) text += chars[next(chars.length)];
                s.write(new TextEncoder().encode(text));
                if (i % 50 === 0) s.resize(1 + next(60), 1 + next(150));
                if (s.lines.length !== s.rows || s.y < 0 || s.y >= s.rows || s.x < 0 || s.x >= s.cols) return `place after ${i}`;
                for (const l of s.lines) if (l.c.length !== s.cols || l.s.length !== s.cols) return `shape after ${i}`;
                if (s.back.length > 1000 || s.styles.length > 16384) return 'memory';
            }
            return 'good';
        }""") == "good"
