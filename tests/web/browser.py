# SPDX-License-Identifier: ISC
"""A Chromium of the system's, driven by Playwright: what a page wrote to its console is kept, and is a failure."""
import contextlib
import os

from playwright.sync_api import expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 60_000  # a browser on a machine that does other things, too
SHOTS = os.path.join(os.path.abspath(os.environ.get("BANGER_BUILD", "build")), "check", "web")

expect.set_options(timeout=WAIT_MS)


class Browser:
    def __init__(self, playwright, *args):
        os.makedirs(SHOTS, exist_ok=True)
        self.chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", *args])

    @contextlib.contextmanager
    def page(self, site=None, quiet=True, **options):
        """A new profile; signed in when a site is given. quiet: nothing may come to the console."""
        context = self.chromium.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda m: page.said.append(m.text))
        page.on("pageerror", lambda e: page.said.append(str(e)))
        page.on("request", lambda r: page.asked.append(r.url))
        try:
            if site:
                page.goto(site.link())
                page.wait_for_url("**/?signed=in")
            yield page
            assert not quiet or not page.said, page.said
            assert not site or all(u.startswith((site.base, site.base.replace("http", "ws"))) for u in page.asked), page.asked
        finally:
            context.close()

    def close(self):
        self.chromium.close()


@contextlib.contextmanager
def browser(*args):
    with sync_playwright() as playwright:
        b = Browser(playwright, *args)
        try:
            yield b
        finally:
            b.close()


def shot(page, name):
    page.screenshot(path=os.path.join(SHOTS, name + ".png"), full_page=True)
