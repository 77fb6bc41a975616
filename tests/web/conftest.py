# SPDX-License-Identifier: ISC
"""The web page against a real bangerd: VMs are played by tests/lib/fake-vmm, but for the terminal's, which is quickstart's.

Requests without a browser are written by hand, as browsers never send what the gate must refuse. Root's processes are answered as the
user's own are, so the tests need not become the user.
"""
import json
import os
import re
import socket
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from hostuser import HostUser, is_root  # noqa: E402
from kernels import write_vmlinux  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BANGER_BUILD", "build"))
HOST = "banger.localhost"
AXE_RULES_OFF = []


def pytest_collection_modifyitems(items):
    if is_root():
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="needs root: it makes a user to run bangerd as"))


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


class Site:
    """One user's bangerd and its page."""

    def __init__(self, user, behaviour=""):
        self.user = user
        self.banger = os.path.join(BUILD, "cli", "banger")
        self.env = user.env(BANGER_FAKE_VMM=os.path.join(BUILD, "tests", "lib", "fake-vmm"), BANGER_FAKE_BEHAVIOUR=behaviour)
        self.config('web = "127.0.0.1:0"\n')

    def config(self, text):
        folder = os.path.join(self.user.home, ".config", "banger")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.toml"), "w") as f:
            f.write(text)
        subprocess.run(["chown", "-R", self.user.name, os.path.join(self.user.home, ".config")], check=True)

    def run(self, *args, check=True):
        done = self.user.run([self.banger, *args], env=self.env, capture_output=True, text=True)
        assert not check or done.returncode == 0, (args, done.stderr)
        return done.stdout if check else done

    def make_assets(self):
        kernel, rootfs = os.path.join(self.user.home, "vmlinux"), os.path.join(self.user.home, "rootfs.ext4")
        write_vmlinux(kernel)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", rootfs, "64M"], check=True, stdout=subprocess.DEVNULL)
        for path in (kernel, rootfs):
            os.chown(path, self.user.uid, self.user.gid)
        self.run("kernel", "import", kernel, "--name", "k")
        self.run("image", "register", "--name", "default", "--rootfs", rootfs, "--kernel-ref", "k")

    def link(self):
        return json.loads(self.run("web", "--json"))["url"]

    @property
    def port(self):
        if not hasattr(self, "_port"):
            self._port = int(re.search(r":(\d+)/", self.link())[1])
        return self._port

    @property
    def base(self):
        return f"http://{HOST}:{self.port}"

    def raw(self, data, timeout=20):
        """The whole answer to these bytes; the connection is closed at its end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return Answer(out)
                out += piece

    def ask(self, method="GET", path="/", headers=(), body=b"", host=None):
        """headers: pairs, which may repeat."""
        lines = [f"{method} {path} HTTP/1.1"]
        if host is not False:
            lines.append(f"Host: {host or f'{HOST}:{self.port}'}")
        lines += [f"{name}: {value}" for name, value in headers]
        if not any(name == "Connection" for name, _ in headers):
            lines.append("Connection: close")
        if body or method == "POST":
            lines += ["Content-Type: application/x-www-form-urlencoded"] * ("content-type" not in str(headers).lower())
            lines.append(f"Content-Length: {len(body)}")
        return self.raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def sign_in(self):
        """A cookie, as a header's value."""
        answer = self.ask(path=self.link().split(str(self.port))[1])
        assert answer.status == 200, answer.text
        return answer.headers["set-cookie"].split(";")[0]

    def api(self, method, path, body=None):
        """The unix socket, for what a test prepares."""
        more = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body is not None else []
        done = self.user.run(["curl", "-sS", "--unix-socket", os.path.join(self.user.home, ".local/state/banger/run/bangerd.sock"),
                              "-X", method, *more, "http://banger" + path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def end(self):
        self.run("delete", "--all", "--force", check=False)
        self.run("daemon", "stop", "--force", check=False)


@pytest.fixture(scope="session")
def site():
    with HostUser("bgt-web", groups=["banger"]) as user:
        s = Site(user, "shell-a:no-socket")  # test_kept.py's has an agent of its own
        try:
            s.make_assets()
            yield s
        finally:
            s.end()


@pytest.fixture(scope="session")
def cookie(site):
    return site.sign_in()


@pytest.fixture(scope="session")
def chrome():
    import browser
    # evil.test is a name whose owner lets it resolve to this machine.
    with browser.browser("--host-resolver-rules=MAP evil.test 127.0.0.1") as b:
        yield b
