# SPDX-License-Identifier: ISC
"""Pulls and builds in the browser: how far they are, their end, their cancellation, their errors. The registry and the builder are played."""
import os
import threading

import pytest
from browser import expect, shot
from fileserver import Server
from registries import Image, digest, random_layer
from waiting import wait_for

MARKUP = '<img src=x onerror=alert(1)>"\''

# What mmdebstrap says and does, as far as the page is told of it; it waits where the test reads along.
BUILDER = r"""#!/bin/sh
say() { printf '%s\n' "$1" >&2; }
say "0 upgraded, 4 newly installed, 0 to remove and 0 not upgraded."
say "Need to get 1024 kB of archives."
say "Get:1 http://deb bookworm/main amd64 a amd64 1 [512 kB]"
read -r _ < "$HOME/fetched"
for name in a b c; do say "Unpacking $name (1) ..."; say "Setting up $name (1) ..."; done
read -r _ < "$HOME/installed"
say 'E: MARKUP'
printf 'E: \033[2Jcleared \302\233 \342\200\256turned\n' >&2
exit 1
"""


@pytest.fixture
def registry():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def half(registry):
    """An image of one layer of 4 MiB, of which half comes; the rest when the event is set."""
    go, image = threading.Event(), Image(registry, layers=[random_layer(4)])

    def send(handler):
        data = image.layers[0]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:len(data) // 2])
        handler.wfile.flush()
        go.wait(120)
        handler.wfile.write(data[len(data) // 2:])

    image.put("1")
    registry.paths[image.url("blobs", digest(image.layers[0]))] = send
    yield go, f"{registry.host}/team/dev:1"
    go.set()


def under_way(page):
    return page.locator("#ops li")


def counts(page):
    return page.evaluate("['script', 'img', 'iframe'].map(t => document.querySelectorAll(t).length).join()")


def test_a_pull(site, chrome, half):
    go, ref = half
    with chrome.page(site) as page, chrome.page(site, java_script_enabled=False) as plain:
        page.goto(site.base + "/images")
        page.fill("form[action='/images/pull'] [name=ref]", ref)
        page.fill("form[action='/images/pull'] [name=name]", "pulled")
        page.click("text=Pull >> nth=-1")
        expect(under_way(page)).to_contain_text("image pull pulled")
        expect(under_way(page)).to_contain_text("M of 4")
        value = int(page.get_attribute("#ops progress", "value"))
        assert 30 <= value <= 60, value
        shot(page, "pull-half")
        plain.goto(site.base + "/images")
        assert "image pull pulled" in plain.inner_text("#ops") and int(plain.get_attribute("#ops progress", "value")) == value
        go.set()
        expect(page.locator("table b", has_text="pulled")).to_be_visible()
        expect(under_way(page)).to_have_count(0)
        page.goto(site.base + "/operations")
        expect(page.locator("tr", has_text="pulled").first).to_contain_text("done")
    site.run("image", "delete", "pulled")


def test_a_pull_is_cancelled(site, chrome, half):
    _, ref = half
    with chrome.page(site) as page:
        page.goto(site.base + "/images")
        page.fill("form[action='/images/pull'] [name=ref]", ref)
        page.fill("form[action='/images/pull'] [name=name]", "given-up")
        page.press("form[action='/images/pull'] [name=name]", "Enter")
        expect(under_way(page)).to_contain_text("M of 4")
        under_way(page).get_by_role("button", name="Cancel").click()
        expect(under_way(page)).to_have_count(0)
        assert [i["name"] for i in site.api("GET", "/v1/images")["images"]] == ["default"]
        page.goto(site.base + "/operations")
        expect(page.locator("tr", has_text="given-up").first).to_contain_text("cancelled")


def test_a_build_and_its_error(site, chrome):
    """What a builder prints is in the error: text, whatever it is."""
    home = site.user.home
    os.makedirs(home + "/bin", exist_ok=True)
    with open(home + "/bin/mmdebstrap", "w") as f:
        f.write(BUILDER.replace("MARKUP", MARKUP.replace("'", "'\\''")))
    os.chmod(home + "/bin/mmdebstrap", 0o755)
    for name in ("fetched", "installed"):
        os.mkfifo(f"{home}/{name}")
        os.chown(f"{home}/{name}", site.user.uid, site.user.gid)
    path = site.env["PATH"]
    site.env["PATH"] = f"{home}/bin:{path}"
    try:
        site.run("daemon", "restart")
        site.__dict__.pop("_port", None)
        with chrome.page(site) as page:
            page.goto(site.base + "/images")
            page.fill("form[action='/images/build'] [name=name]", "built")
            page.press("form[action='/images/build'] [name=name]", "Enter")
            expect(under_way(page)).to_contain_text("fetching packages, 500K of 1")
            assert page.get_attribute("#ops progress", "value") == "50"
            with open(home + "/fetched", "w") as f:
                f.write("go\n")
            expect(under_way(page)).to_contain_text("installing packages, 3 of 4 packages")
            expect(page.locator("#ops progress")).to_have_attribute("value", "75")
            shot(page, "build")
            page.goto(site.base + "/operations")
            expect(under_way(page)).to_contain_text("installing packages, 3 of 4 packages")
            with open(home + "/installed", "w") as f:
                f.write("go\n")
            wait_for(lambda: site.api("GET", "/v1/operations")["operations"][-1]["state"] == "failed")
            error = site.api("GET", "/v1/operations")["operations"][-1]["error"]["message"]
            page.goto(site.base + "/operations")
            text = page.locator("tr", has_text="built").first.inner_text()
            assert "failed" in text and MARKUP in text and counts(page) == "2,0,0", (text, error)
            assert not set("\x1b\u009b\u202e") & set(text), text
    finally:
        site.env["PATH"] = path
        site.run("daemon", "restart", "--force")
        site.__dict__.pop("_port", None)
