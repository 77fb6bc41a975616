# SPDX-License-Identifier: ISC
"""The file picker: what it lists, how a form gets its file with and without JavaScript, and what it must not lead to."""
import os
import subprocess
from urllib.parse import quote

import pytest
from browser import expect, shot

MARKUP = '<img src=x onerror=alert(1)>"\'.banger'
ODD = ["esc\x1b[2Jape", "new\nline", "turned\u202etxt", "c1\u009b2J"]


@pytest.fixture(scope="module")
def tree(site):
    """A folder of the user's: files, links in and out, a FIFO, many files, odd names; beside it one that only begins like it."""
    home = site.user.home
    top = os.path.join(home, "pick")
    os.makedirs(os.path.join(top, "deep", "er"))
    os.makedirs(os.path.join(top, "many"))
    os.makedirs(home + "-beside")
    for path in (top + "/.hidden", top + "/deep/er/below", home + "-beside/secret"):
        open(path, "w").close()
    with open(top + "/one.banger", "w") as f:
        f.write("x" * 5000)
    for name in (MARKUP, *ODD):
        open(os.path.join(top, name), "w").close()
    open(os.path.join(os.fsencode(top), b"not\xffutf8"), "w").close()
    for n in range(1100):
        open(f"{top}/many/file-{n:04}", "w").close()
    os.symlink("/etc", top + "/out")
    os.symlink("deep", top + "/in")
    os.mkfifo(top + "/fifo")
    os.link(os.path.join(home, "vmlinux"), top + "/a kernel+%20&x=1")
    subprocess.run(["chown", "-R", site.user.name, top], check=True)
    yield top
    subprocess.run(["rm", "-rf", top, home + "-beside"], check=True)


def listed(site, path):
    return site.api("GET", "/v1/files?path=" + quote(path))


def test_a_folder(site, tree):
    assert site.api("GET", "/v1/files") == {"path": None, "parent": None, "left_out": 0, "more": False,
                                            "entries": [{"name": site.user.home, "kind": "folder", "size": 0}]}
    answer = listed(site, tree + "/")
    assert (answer["path"], answer["parent"], answer["left_out"], answer["more"]) == (tree, site.user.home, 1, False)
    kinds = {e["name"]: (e["kind"], e["size"]) for e in answer["entries"]}
    assert kinds["one.banger"] == ("file", 5000) and kinds["deep"] == ("folder", 0)
    assert kinds["out"][0] == kinds["in"][0] == "link" and kinds["fifo"][0] == "other"
    assert set(ODD) | {MARKUP} <= set(kinds) and ".hidden" not in kinds
    assert [e["name"] for e in answer["entries"]][:2] == ["deep", "many"]
    assert listed(site, site.user.home)["parent"] is None
    many = listed(site, tree + "/many")
    assert len(many["entries"]) + many["left_out"] == 1100 and len(many["entries"]) >= 600
    assert [e["name"] for e in many["entries"]] == sorted(e["name"] for e in many["entries"])


def test_what_it_must_not_lead_to(site, tree):
    cookie, home, secrets = site.sign_in(), site.user.home, ("passwd", "secret", "below")
    paths = [quote(p, safe="") for p in (
        "/", "/etc", "etc", "..", tree + "/..", tree + "/../..", tree + "/deep/../../..", tree + "/./deep", tree + "//deep", tree + "/out",
        tree + "/in", tree + "/in/er", tree + "/out/ssh", tree + "/one.banger", tree + "/one.banger/x", tree + "/fifo", tree + "/gone", home + "-beside",
        home + "/../" + os.path.basename(home) + "-beside", "/proc/self/root", tree + "/" + "x" * 300, "~", "file://" + tree)]
    paths += [quote(tree) + "%2f..%2f..", quote(tree) + "%2F%2E%2E", quote(tree) + "/%252e%252e", quote(tree) + "/deep%00/er", "%2fetc%00" + quote(tree),
              quote(tree) + "/%ff", "/" + "x" * 5000]
    for path in paths:
        answer = site.ask(path="/files?for=import&in=" + path, headers=[("Cookie", cookie)])
        assert answer.status in (400, 403, 404, 422), (path, answer.status)
        assert not any('"/images?for=import&amp;from' in answer.text or f">{s}<" in answer.text for s in secrets), path
        assert "error" in site.api("GET", "/v1/files?path=" + path), path
    assert site.ask(path="/files?for=import").status == 403  # no cookie
    assert site.ask(path="/files?for=else", headers=[("Cookie", cookie)]).status == 404
    for _n in range(2):  # a folder that becomes a link between two looks is not followed
        os.rename(tree + "/deep", tree + "/deep.was")
        os.symlink("/etc", tree + "/deep")
        assert "error" in listed(site, tree + "/deep")
        os.unlink(tree + "/deep")
        os.rename(tree + "/deep.was", tree + "/deep")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_file_for_a_form(site, tree, chrome, javascript):
    name = f"picked-{str(javascript).lower()}"
    with chrome.page(site, java_script_enabled=javascript) as page:
        page.goto(site.base + "/kernels")
        page.fill("[name=name]", name)
        page.click("text=Choose a file…")
        expect(page.locator("h1")).to_have_text("Choose a file")
        page.click("text=pick/")
        expect(page.locator(".pick .path span")).to_have_text(tree)
        shot(page, f"files-{name}")
        page.click("text=deep/")
        page.click("text=Up")
        page.click("text=a kernel+%20&x=1")
        page.wait_for_url("**/kernels?*")
        assert page.input_value("[name=path]") == tree + "/a kernel+%20&x=1" and page.input_value("[name=name]") == name
        # the modules are another file of the same form, and going back loses nothing
        page.click("text=Choose modules…")
        page.click("text=Back to the form")
        assert page.input_value("[name=path]") == tree + "/a kernel+%20&x=1" and page.input_value("[name=name]") == name
        page.press("[name=name]", "Enter")  # imports, and does not choose once more
        expect(page.locator("table b", has_text=name)).to_be_visible()
    site.run("kernel", "delete", name)


def test_names_are_text(site, tree, chrome):
    with chrome.page(site) as page:
        counts = "['script', 'img', 'iframe'].map(t => document.querySelectorAll(t).length).join()"
        page.goto(f"{site.base}/files?for=register&in={quote(tree)}&name={quote(MARKUP)}")
        assert page.evaluate(counts) == "2,0,0"
        page.click(f"text={MARKUP}")
        assert page.evaluate(counts) == "2,0,0"
        assert page.input_value("#register [name=rootfs]") == os.path.join(tree, MARKUP) and page.input_value("#register [name=name]") == MARKUP
        page.go_back()
        for shown in (r"esc^[[2Jape", "new\nline", r"turned\u202etxt", r"c1\u009b2J"):
            item = page.locator(".pick li", has_text=shown.split("\n")[0])
            expect(item).to_contain_text("its name cannot be typed")
            assert item.locator("a").count() == 0
        expect(page.locator(".pick li", has_text="fifo")).to_contain_text("no file")
        expect(page.locator(".hint")).to_contain_text("and 1 more")
        page.goto(f"{site.base}/files?for=import&in={quote(tree)}/many")
        expect(page.locator(".pick li").first).to_contain_text("file-0000")
        assert "more" in page.inner_text(".hint")


def test_folders_of_the_config(site, tree):
    site.config('web = "127.0.0.1:0"\nweb_folders = "~/pick/deep:/usr/share/doc/"\n')
    try:
        site.run("daemon", "restart")
        del site._port
        cookie = site.sign_in()
        answer = site.ask(path="/files?for=import", headers=[("Cookie", cookie)])
        assert tree + "/deep" in answer.text and "/usr/share/doc" in answer.text
        assert "error" in listed(site, tree) and listed(site, tree + "/deep/er")["entries"][0]["name"] == "below"
        site.config('web = "127.0.0.1:0"\nweb_folders = ""\n')
        site.run("daemon", "restart")
        del site._port
        cookie = site.sign_in()
        assert site.api("GET", "/v1/files")["entries"] == []
        assert "Choose a file" not in site.ask(path="/images", headers=[("Cookie", cookie)]).text
        site.config('web_folders = "pick"\n')
        assert "is not an absolute path" in site.run("daemon", "restart", check=False).stderr
    finally:
        site.config('web = "127.0.0.1:0"\n')
        site.run("daemon", "restart")
        site.__dict__.pop("_port", None)
