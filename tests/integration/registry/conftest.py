# SPDX-License-Identifier: ISC
"""Servers on loopback for what fetches: one that can be told to misbehave, and a real registry."""
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys

import pytest

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib")
sys.path.insert(0, LIB)

import registries  # noqa: E402
from fileserver import Server  # noqa: E402
from hostuser import HostUser, is_root  # noqa: E402
from kernels import write_vmlinux  # noqa: E402
from waiting import wait_for  # noqa: E402,F401

BUILD = os.environ.get("BANGER_BUILD", "build")


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def tls_server(tmp_path):
    """A server whose certificate nobody signed; gives its URL."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    s = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    s.http.socket = context.wrap_socket(s.http.socket, server_side=True)
    yield f"https://{s.host}/file"
    s.close()


@pytest.fixture
def out(tmp_path):
    """An output file as bangerd makes one; read() gives what is in it."""
    class Out:
        path = tmp_path / "out"

        def __init__(self):
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)

        def read(self):
            return self.path.read_bytes()

    o = Out()
    yield o
    os.close(o.fd)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    r = registries.RealRegistry(tmp_path_factory.mktemp("registry"))
    yield r
    r.close()


class Host:
    """An ordinary user with banger in its home and a kernel named k, which never runs here."""

    def __init__(self, user):
        self.user = user
        for name in ("cli/banger", "daemon/bangerd", "worker/banger-worker", "guest/banger-init", "launcher/banger-launch"):
            os.makedirs(os.path.join(user.home, os.path.dirname(name)), 0o755, exist_ok=True)
            shutil.copy(os.path.join(BUILD, name), os.path.join(user.home, name))
        self.cache = user.home + "/.cache/banger/blobs"
        self.state = user.home + "/.local/state/banger"
        self.env = user.env(BANGER_PRIVHELPER="/nowhere/helper")

    def banger(self, *args, ok=True):
        r = self.user.run([self.user.home + "/cli/banger", *args], env=self.env, capture_output=True, text=True)
        assert not ok or r.returncode == 0, r.stdout + r.stderr
        return r

    def json(self, *args):
        return json.loads(self.banger(*args, "--json").stdout)

    def start(self, *args):
        """A command that goes on."""
        return self.user.popen([self.user.home + "/cli/banger", *args], env=self.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def write(self, name, text):
        path = os.path.join(self.user.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        subprocess.run(["chown", "-R", self.user.name, os.path.join(self.user.home, name.split("/")[0])], check=True)

    def kernel(self):
        write_vmlinux(self.user.home + "/vmlinux")
        self.banger("kernel", "import", self.user.home + "/vmlinux", "--name", "k")

    def images(self):
        return [i["name"] for i in self.json("image", "list")]

    def folders(self, kind="images"):
        """Of images or kernels, whole or not, with more in them than the record of one that is listed."""
        path = f"{self.state}/{kind}"
        return [name for name in os.listdir(path) if os.listdir(f"{path}/{name}") != [kind[:-1] + ".rec"]] if os.path.exists(path) else []

    def records(self, kind):
        """Names of those that have a record."""
        path = f"{self.state}/{kind}"
        return sorted(name for name in os.listdir(path) if os.path.exists(f"{path}/{name}/{kind[:-1]}.rec"))

    def last_operation(self):
        r = self.user.run(["curl", "-s", "--unix-socket", self.user.home + "/.local/state/banger/run/bangerd.sock", "http://banger/v1/operations"],
                          capture_output=True, check=True)
        return json.loads(r.stdout)["operations"][0]

    def blobs(self, kind="sha256"):
        try:
            return sorted(os.listdir(f"{self.cache}/{kind}"))
        except FileNotFoundError:
            return []

    def processes(self, name):
        r = subprocess.run(["pgrep", "-u", self.user.name, "-x", name], capture_output=True, text=True)
        return [int(pid) for pid in r.stdout.split()]

    def end(self):
        self.banger("daemon", "stop", ok=False)
        subprocess.run(["pkill", "-KILL", "-u", self.user.name])


@pytest.fixture(scope="session")
def session_host():
    if not is_root():
        pytest.skip("needs root: it makes a user to run bangerd as")
    with HostUser("bgt-pull") as user:
        os.chmod(user.home, 0o700)
        h = Host(user)
        h.kernel()
        yield h
        h.end()


@pytest.fixture
def host(session_host):
    """Without images, cache and configuration of other tests."""
    yield session_host
    for name in session_host.images():
        session_host.banger("image", "delete", name)
    session_host.banger("image", "prune")
