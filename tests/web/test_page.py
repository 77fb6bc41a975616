# SPDX-License-Identifier: ISC
"""The page in a browser, with and without JavaScript: what it shows, does and refuses. VMs are played."""
import glob
import http.server
import json
import os
import re
import threading
import time
from collections import Counter

import pytest
from browser import expect, shot

SIZES = {"wide": (1280, 900), "phone": (390, 844)}


def row(page, name):
    return page.locator(f'tr[data-vm="{name}"]')


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def state(site, name):
    return site.api("GET", f"/v1/vms/{name}").get("state")


def rested(site, name):
    wait_until(lambda: not site.api("GET", f"/v1/vms/{name}").get("operation"))


@pytest.fixture(scope="module")
def two(site):
    """Two VMs that stay: one runs, one rests."""
    site.run("create", "runs-a", "--memory", "256M", "--label", "team=core")
    site.run("create", "rests-a", "--memory", "256M", "--no-start")
    return site


def test_life_of_a_vm(two, chrome):
    with chrome.page(two) as page:
        expect(page.locator("#live-text")).to_contain_text("live")
        page.click("text=New VM")
        page.fill("[name=name]", "made-here")
        page.fill("[name=memory_mib]", "256M")
        page.fill("[name=labels]", "a=b")
        assert page.inner_text("#command").replace("\\\n  ", "") == "banger vm create --name made-here --memory 256M --label a=b"
        page.click("text=Create and start")
        expect(page.locator("h1")).to_have_text("made-here")
        expect(page.locator(".title .state")).to_have_text("running")
        page.click(".title >> text=Stop")
        expect(page.locator(".title .state")).to_have_text("stopped")
        rested(two, "made-here")
        page.goto(f"{two.base}/vms/made-here?tab=settings")
        page.fill("[name=expose]", "5432 80")
        page.click("text=Apply")
        expect(page.locator("[data-f=exposed]")).to_have_text("5432 80")
        rested(two, "made-here")
        for name, other in (("made-here", "made-there"), ("made-there", "made-here")):
            page.goto(f"{two.base}/vms/{name}?tab=settings")
            page.fill("form[action$=rename] input", other)
            page.click("text=Rename")
            page.wait_for_url(two.base + "/")
            expect(row(page, other)).to_be_visible()
            expect(row(page, name)).to_have_count(0)
            rested(two, other)
        page.goto(f"{two.base}/vms/made-here")
        page.click(".crumb >> text=VMs")
        row(page, "made-here").get_by_role("button", name="Start", exact=True).click()
        expect(row(page, "made-here").locator(".state")).to_have_text("running")
        page.goto(two.base + "/vms/made-here/delete")
        page.click("button.danger")
        page.wait_for_url(two.base + "/")
        expect(row(page, "made-here")).to_have_count(0)


def test_a_vm_that_stands_still(two, chrome):
    with chrome.page(two) as page:
        two.run("create", "sleepy", "--memory", "256M")
        page.goto(two.base + "/vms/sleepy?tab=settings")
        state_now = page.locator(".title .state")
        for button, word in (("Pause", "paused"), ("Resume", "running"), ("Suspend", "suspended")):
            page.get_by_role("button", name=button, exact=True).click()
            expect(state_now).to_have_text(word)
            rested(two, "sleepy")
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
        shot(page, "suspended")
        page.goto(two.base + "/?state=sleeps")
        expect(row(page, "runs-a")).to_be_hidden()
        expect(page.locator("[data-n=sleeps]")).to_have_text("1")
        row(page, "sleepy").locator("input").check()
        page.click("#many >> text=Resume")
        expect(page.locator("[data-n=sleeps]")).to_have_text("0")
        rested(two, "sleepy")
        assert state(two, "sleepy") == "running"
    two.run("delete", "sleepy", "--force")


def test_a_wrong_form_says_what_is_wrong(two, chrome):
    with chrome.page(two, quiet=False) as page:
        page.goto(two.base + "/new")
        page.fill("[name=memory_mib]", "much")
        page.click("text=Create only")
        expect(page.locator("#toast")).to_contain_text('"much" is not a size')
        assert page.input_value("[name=memory_mib]") == "much"


def test_it_is_live(two, chrome):
    with chrome.page(two) as page, chrome.page(two) as other:
        for p in (page, other):
            expect(p.locator("#live-text")).to_contain_text("live")
        two.run("create", "from-outside", "--no-start", "--memory", "256M")
        for p in (page, other):
            expect(row(p, "from-outside").locator(".state")).to_have_text("stopped")
        page.fill("#q", "outside")
        expect(row(page, "runs-a")).to_be_hidden()
        page.fill("#q", "")
        expect(row(page, "runs-a")).to_be_visible()
        page.click(".chips >> text=Running")
        expect(row(page, "from-outside")).to_be_hidden()
        page.click(".chips >> text=All")
        rested(two, "from-outside")
        row(page, "from-outside").locator("input").check()
        page.click("#many >> text=Delete")
        expect(page.locator("h1")).to_contain_text("Delete 1 VMs")
        page.click("button.danger")
        expect(row(other, "from-outside")).to_have_count(0)


def test_eight_tabs(two, chrome):
    """A browser has six connections: each tab is answered, the oldest stop being live."""
    context = chrome.chromium.new_context()
    try:
        first = context.new_page()
        first.goto(two.link())
        for _ in range(7):
            page = context.new_page()
            page.goto(two.base + "/")
            expect(page.locator("#live-text")).to_contain_text("live")
        expect(first.locator("#live-text")).to_contain_text("paused")
        assert len(context.pages) == 8
    finally:
        context.close()


def test_without_javascript(two, chrome):
    with chrome.page(two, java_script_enabled=False, quiet=False) as page:
        expect(row(page, "runs-a").locator(".state")).to_have_text("running")
        page.goto(two.base + "/new")
        page.fill("[name=name]", "plain")
        page.fill("[name=memory_mib]", "256M")
        page.click("text=Create only")
        expect(page.locator("h1")).to_have_text("plain")
        rested(two, "plain")
        page.goto(two.base + "/?q=plain")
        expect(row(page, "runs-a")).to_have_count(0)
        row(page, "plain").get_by_role("button", name="Start", exact=True).click()
        wait_until(lambda: state(two, "plain") == "running")
        rested(two, "plain")
        page.goto(two.base + "/vms/plain?tab=log")
        assert page.content().count("/v1/vms/plain/logs?tail=200")
        page.goto(two.base + "/v1/vms/plain/logs?tail=200")
        page.goto(two.base + "/vms/plain?tab=settings")
        page.fill("[name=name]", "plainer")
        page.click("text=Rename")
        page.wait_for_url(two.base + "/")
        wait_until(lambda: state(two, "plainer") == "running")
        rested(two, "plainer")
        two.run("vm", "rename", "plainer", "plain")
        page.goto(two.base + "/vms/plain")
        page.click('text="Stop"')
        wait_until(lambda: state(two, "plain") == "stopped")
        rested(two, "plain")
        page.goto(two.base + "/vms/plain")
        page.click("text=Delete")
        page.click("button.danger")
        page.wait_for_url(two.base + "/")
        wait_until(lambda: "error" in two.api("GET", "/v1/vms/plain"))
        page.goto(two.base + "/vms/none")
        assert '"none"' in page.inner_text("#error")
        assert [text for text in page.said if "404" not in text] == []


PAGES = ["/", "/vms/runs-a?tab=settings", "/vms/runs-a?tab=log", "/vms/runs-a", "/new", "/images", "/kernels", "/files?for=import", "/operations", "/host", "/vms/rests-a/delete"]


def axe_source():
    import axe_playwright_python
    return glob.glob(os.path.dirname(axe_playwright_python.__file__) + "/axe.min.js")[0]


@pytest.mark.parametrize("scheme, size", [("light", "wide"), ("dark", "wide"), ("light", "phone")])
def test_everybody_can_use_it(two, chrome, scheme, size):
    with open(axe_source()) as f:
        axe = f.read()
    width, height = SIZES[size]
    with chrome.page(two, color_scheme=scheme, viewport={"width": width, "height": height}, quiet=False) as page:
        for path in PAGES:
            page.goto(two.base + path)
            page.wait_for_load_state("load")
            page.evaluate(axe)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            assert not found, (path, [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found])
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
            shot(page, f"{re.sub('[^a-z]+', '-', path).strip('-') or 'list'}-{scheme}-{size}")


def test_keyboard_alone(two, chrome):
    with chrome.page(two) as page:
        expect(page.locator("#live-text")).to_contain_text("live")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("n")
        page.wait_for_url(two.base + "/new")
        page.focus("[name=name]")
        page.keyboard.type("by-keys")
        for _ in range(30):
            if page.evaluate("document.activeElement.textContent") == "Create only":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("by-keys")
        rested(two, "by-keys")
    two.run("delete", "by-keys", "--force")


def test_what_vms_use(two, chrome):
    with chrome.page(two) as page:
        expect(row(page, "runs-a").locator("[data-f=cpu]")).to_contain_text("%")
        expect(row(page, "runs-a").locator(".spark polyline[points]").first).to_be_attached()
        expect(page.locator("#sum-mem")).to_contain_text("GiB")


MARKUP = '<img src=x onerror=alert(1)>"\'></textarea><script>alert(2)</script>'


def test_hostile_text(two, chrome):
    """Labels, logs, errors: text, whatever is in it. Files are in test_picker.py, a builder's words in test_progress.py. Names of a guest's
    processes are in no page and not in the terminal UI, but as a program's output: `vm ports` alone shows them."""
    label = '<img src=x onerror=alert(1)>"\'' + "\u009b2J\u202eabc"
    assert "error" not in two.api("POST", "/v1/vms/rests-a/set", {"labels": {"note": label}})
    vm = two.api("GET", "/v1/vms/runs-a")
    with open(vm["paths"]["serial_log"], "ab") as f:
        f.write(b"\xff\xfe first \x1b]52;c;aGk=\x07\x1b[2J" + MARKUP.encode() + b"\x1b]0;" + MARKUP.encode() + b"\x07\x9b31m end\n" + b"x" * 1_000_000 + b"\n\x1b[6n\x1b[c last line\n")
    with chrome.page(two) as page:
        counts = "['script', 'img', 'iframe'].map(t => document.querySelectorAll(t).length).join()"
        expect(page.locator("#live-text")).to_contain_text("live")
        assert page.evaluate(counts) == "2,0,0"
        expect(row(page, "rests-a").locator("small")).to_have_text("note=" + label.replace("\u009b", r"\u009b").replace("\u202e", r"\u202e"))
        page.goto(two.base + "/vms/runs-a?tab=log")
        expect(page.locator("#log")).to_contain_text("last line")
        text = page.inner_text("#log")
        assert MARKUP in text and "\x1b" not in text and page.evaluate(counts) == "2,0,0"
        assert max(len(line) for line in text.split("\n")) <= 4200
        page.goto(two.base + "/vms/runs-a?tab=console")
        expect(page.locator("#term .rows")).to_contain_text("last line")
        assert page.evaluate(counts) == "2,0,0" and "alert" not in page.title()
        assert page.locator("#term textarea").count() == 0
        page.goto(two.base + "/new?x=" + "%3Cscript%3E")
        assert page.evaluate(counts) == "2,0,0"
    two.api("POST", "/v1/vms/rests-a/set", {"labels": {"note": None}})


class Evil(http.server.BaseHTTPRequestHandler):
    """Another page on this machine: it serves what a test wrote, and remembers what it was sent."""

    page, cookies, lock = b"", [], threading.Lock()

    def do_GET(self):
        with self.lock:
            self.cookies.append((self.headers.get("Host"), self.headers.get("Cookie")))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def evil():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Evil.cookies.clear()
    yield server
    server.shutdown()
    server.server_close()


ATTACK = """async ([base, ws]) => {
    const out = {};
    const opened = (s, ok, bad) => new Promise(done => { s[ok] = () => done('open'); s[bad] = () => done('shut'); });
    out.post = await fetch(base + '/create', {method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams({name: 'stolen', start: '0'})}).then(r => r.type, () => 'failed');
    out.read = await fetch(base + '/', {credentials: 'include'}).then(r => r.text(), () => 'failed');
    out.events = await opened(new EventSource(base + '/live', {withCredentials: true}), 'onopen', 'onerror');
    out.socket = await opened(new WebSocket(ws + '/v1/vms/runs-a/terminal?rows=24&cols=80'), 'onopen', 'onerror');
    out.script = await new Promise(done => { const s = document.createElement('script'); s.src = base + '/live';
        s.onload = () => done('loaded'); s.onerror = () => done('failed'); document.head.append(s); });
    const frame = document.createElement('iframe');
    frame.src = base + '/';
    await new Promise(done => { frame.onload = done; document.body.append(frame); setTimeout(done, 3000); });
    try { out.frame = frame.contentDocument ? frame.contentDocument.body.innerText : 'opaque'; } catch { out.frame = 'opaque'; }
    return out;
}"""


@pytest.mark.parametrize("name", ["127.0.0.1", "evil.localhost", "banger.localhost"])
def test_pages_of_others(two, chrome, evil, name):
    """Another port of three names, in the browser that is signed in. The last is a same-site page: even that gets nothing done."""
    names = {vm["name"] for vm in two.api("GET", "/v1/vms")["vms"]}
    Evil.page = b"<!doctype html><title>evil</title><body>"
    with chrome.page(two, quiet=False) as page:
        page.asked.clear()
        evil_page = page.context.new_page()
        evil_page.goto(f"http://{name}:{evil.server_port}/")
        out = evil_page.evaluate(ATTACK, [two.base, two.base.replace("http", "ws")])
        assert (out["read"], out["events"], out["socket"], out["script"]) == ("failed", "shut", "shut", "failed"), out
        assert "runs-a" not in out["frame"]
        evil_page.set_content(f'<form method="post" action="{two.base}/create"><input name="name" value="stolen"><input name="start" value="0"><button>go</button></form>')
        evil_page.click("button")
        evil_page.wait_for_url("**/create")
        assert evil_page.inner_text("body").strip() == "refused"
        assert {vm["name"] for vm in two.api("GET", "/v1/vms")["vms"]} == names
    if name != "banger.localhost":
        assert not any(cookie and "__Host-banger" in cookie for _, cookie in Evil.cookies), Evil.cookies


def test_rebinding_in_a_browser(two, chrome):
    """Its own name, our address and port: same-origin for the browser, nothing for us."""
    with chrome.page(two, quiet=False) as page:
        rebound = page.context.new_page()
        answer = rebound.goto(f"http://evil.test:{two.port}/")
        assert answer.status == 421 and rebound.inner_text("body").strip() == "refused"
        assert rebound.evaluate("fetch('/create', {method: 'POST', body: new URLSearchParams({name: 'stolen'})}).then(r => r.status)") == 421


def test_a_link_in_another_page(two, chrome, evil):
    """From a chat or a README: the cookie is held back once, the page shows all the same."""
    Evil.page = f'<a href="{two.base}/images">images</a>'.encode()
    with chrome.page(two) as page:
        page.goto(f"http://127.0.0.1:{evil.server_port}/")
        page.asked.clear()
        page.click("a")
        expect(page.locator("h1")).to_have_text("Images")


def engine_ticks(site):
    with open(f"/proc/{site.api('GET', '/v1/daemon')['pid']}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


EVENTS = """import http.client, json, socket, sys, time
c = http.client.HTTPConnection('banger')
c.sock = socket.socket(socket.AF_UNIX)
c.sock.connect(sys.argv[1])
end, n = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    c.request('POST', f'/v1/vms/many-{n % 100:03}/set', json.dumps({'labels': {'n': str(n)}}))
    c.getresponse().read()
    n += 1
    time.sleep(max(0, (n / 50) - (time.monotonic() - (end - float(sys.argv[2])))))
print(n)
"""


def flood(site, seconds):
    """50 events a second for so long; (events, the engine's processor seconds)."""
    before = engine_ticks(site)
    done = site.user.run(["python3", "-c", EVENTS, os.path.join(site.user.home, ".local/state/banger/run/bangerd.sock"), str(seconds)],
                         capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout), (engine_ticks(site) - before) / os.sysconf("SC_CLK_TCK")


FRAME_MS = 50


def tasks(chrome, page, work):
    """What the page's main thread ran meanwhile: for each task its processor time and its clock time in ms, by the browser's own trace."""
    chrome.chromium.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "__metadata"])
    try:
        done = work()
    finally:
        events = json.loads(chrome.chromium.stop_tracing())["traceEvents"]
    main = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    fires = Counter((e["pid"], e["tid"]) for e in events if e["name"] == "FireAnimationFrame")
    mine = max(main, key=lambda key: fires[key])
    assert fires[mine] > 0, "the page drew nothing"
    found = [(e["tdur"] / 1000, e["dur"] / 1000) for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) == mine and "tdur" in e]
    assert len(found) > fires[mine], "no tasks with their own time in the trace"
    return done, found


def test_a_hundred_vms(two, chrome):
    """What a stream of events costs the daemon and the browser. Judged is work: processor time of each task, which other processes do not lengthen."""
    seconds = 6
    for n in range(100):
        two.api("POST", "/v1/vms", {"name": f"many-{n:03}", "start": False, "memory_mib": 128, "disk_mib": 64, "work_mib": 64})
    wait_until(lambda: all(not vm["operation"] for vm in two.api("GET", "/v1/vms")["vms"]), 120)
    alone = flood(two, seconds)
    with chrome.page(two) as page:
        expect(page.locator("#vms tr")).to_have_count(102)
        expect(page.locator("#live-text")).to_contain_text("live")
        nodes = page.evaluate("document.querySelectorAll('*').length")
        seen, found = tasks(chrome, page, lambda: flood(two, seconds))
        expect(row(page, f"many-{(seen[0] - 1) % 100:03}").locator("small")).to_have_text(f"n={seen[0] - 1}")
        assert page.evaluate("document.querySelectorAll('*').length") == nodes
        work, longest = sum(t[0] for t in found) / 10 / seconds, sorted(found)[-3:]
        print(f"\n100 VMs, {seen[0] / seconds:.0f} events a second: engine {100 * alone[1] / seconds:.1f} % of a core without the page, "
              f"{100 * seen[1] / seconds:.1f} % with it; browser {work:.0f} % of its main thread; longest tasks, ms of work (of the clock): "
              + ", ".join(f"{own:.0f} ({wall:.0f})" for own, wall in longest))
        assert longest[-1][0] < FRAME_MS, longest
    two.run("delete", "many-*", "--force")


def test_a_daemon_that_comes_back(two, chrome):
    """Its sessions ended with it: the tab says so, and one sign-in later goes on."""
    with chrome.page(two, quiet=False) as page:
        expect(page.locator("#live-text")).to_contain_text("live")
        two.config(f'web = "127.0.0.1:{two.port}"\n')
        two.run("daemon", "restart")
        expect(page.locator("#live-text")).to_contain_text("signed out")
        page.goto(two.link())
        expect(page.locator("#live-text")).to_contain_text("live")
    two.config('web = "127.0.0.1:0"\n')
