# SPDX-License-Identifier: ISC
"""Checkouts that tests make, and a guest that is a folder of this machine: a fake agent that runs what it is told here.
What the guest may do with a script it does for real: the same shell, tar, git; only the machine is missing."""
import hashlib
import os
import socket
import struct
import subprocess
import threading

from fake_daemon import running

BUILD = os.path.abspath(os.environ.get("BANGER_BUILD", os.path.join(os.path.dirname(__file__), "../../../build")))

# common/agent_proto.h
HEAD = struct.Struct("<IIIHH")
MAGIC, DONE, DATA, EOF, CREDIT, SIGNAL = 0x31414742, 8, 16, 17, 18, 22
IN, OUT, ERR = 0, 1, 2


class FakeAgent:
    """Answers /exec of one VM: runs the argv on this machine as the home's user, on real pipes; of the agent's own parts it
    has the one for workspaces, as a program. change is called with each request's body before that: it may return another
    argv, or None to hang up. moved counts the bytes of all sessions."""

    def __init__(self, home, fake, name):
        self.home, self.bodies, self.moved = home, [], 0
        self.part = os.path.join(BUILD, "tests", "lib", "guest-workspace")
        self.change = lambda body: body["argv"]
        self.workdir = lambda folder: folder
        fake.on("POST", f"/v1/vms/{name}/exec", self._serve)

    def _serve(self, conn):
        self.bodies.append(conn.body)
        if conn.body.get("kind") == "workspace":
            conn.body["argv"].insert(0, self.part)
        argv = self.change(conn.body)
        conn.raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-agent\r\n\r\n")
        if argv is None:
            return
        who = {} if self.home.uid is None else {"user": self.home.uid, "group": self.home.uid, "extra_groups": []}
        env = dict(self.home.env, **dict(pair.split("=", 1) for pair in conn.body.get("env", [])))
        cwd = self.workdir(conn.body.get("workdir")) or self.home.path
        if not os.path.isdir(cwd):
            conn.raw(self.frame(DONE, 0, struct.pack("<ii", 0, 125 << 8)))
            return
        process = subprocess.Popen(argv or ["/bin/sh"], env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True, **who)
        Session(self, conn.sock, process).run()

    @staticmethod
    def frame(kind, sub, data=b""):
        return HEAD.pack(MAGIC, len(data), 1, kind, sub) + data


class Session:
    def __init__(self, agent, sock, process):
        self.agent, self.sock, self.process = agent, sock, process
        self.lock = threading.Condition()
        self.credit = {OUT: 256 * 1024, ERR: 256 * 1024}
        self.gone = False

    def run(self):
        threading.Thread(target=self._take, daemon=True).start()
        outs = [threading.Thread(target=self._give, args=a, daemon=True) for a in
                ((OUT, self.process.stdout), (ERR, self.process.stderr))]
        for thread in outs:
            thread.start()
        for thread in outs:
            thread.join()
        status = self.process.wait()
        self._send(DONE, 0, struct.pack("<ii", 0, status << 8 if status >= 0 else -status))
        self.sock.shutdown(socket.SHUT_WR)
        with self.lock:  # the client closes; what it sends meanwhile must not reset the connection
            self.lock.wait_for(lambda: self.gone, 30)

    def _send(self, kind, sub, data=b""):
        with self.lock:
            try:
                self.sock.sendall(FakeAgent.frame(kind, sub, data))
            except OSError:
                self.gone = True

    def _give(self, sub, pipe):
        while data := os.read(pipe.fileno(), 32768):
            with self.lock:
                self.lock.wait_for(lambda: self.gone or self.credit[sub] >= len(data))
                self.credit[sub] -= len(data)
            if self.gone:
                self.process.kill()
                return
            self.agent.moved += len(data)
            self._send(DATA, sub, data)
        self._send(EOF, sub)

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise OSError("it left")
            data += more
        return data

    def _take(self):
        try:
            while True:
                _, length, _, kind, sub = HEAD.unpack(self._exactly(HEAD.size))
                self._frame(kind, sub, self._exactly(length))
        except OSError:
            pass
        with self.lock:
            self.gone = True
            self.lock.notify_all()

    def _frame(self, kind, sub, data):
        if kind == DATA:
            self.agent.moved += len(data)
            try:
                self._write(data)
            except (BrokenPipeError, ValueError):
                pass
            self._send(CREDIT, IN, struct.pack("<I", len(data)))
        elif kind == EOF and sub == IN:
            self.process.stdin.close()
        elif kind == SIGNAL:
            os.killpg(self.process.pid, struct.unpack("<I", data)[0])
        elif kind == CREDIT:
            with self.lock:
                self.credit[sub] += struct.unpack("<I", data)[0]
                self.lock.notify_all()

    def _write(self, data):
        while data:
            data = data[os.write(self.process.stdin.fileno(), data):]


class Checkout:
    """A git checkout in a home, made and changed by the home's user."""

    def __init__(self, home, name="site"):
        self.home, self.path = home, os.path.join(home.path, name)
        os.makedirs(self.path)
        home.own(home.path)
        self.git("init", "-q", "-b", "main", "--template=")
        with open(self.path + "/.git/config", "a", encoding="utf-8") as file:
            file.write("[user]\n\tname = A\n\temail = a@b\n")
        os.mkdir(self.path + "/.git/hooks")

    def run(self, *argv, stdin=None, cwd=None):
        return run_as(self.home, *argv, stdin=stdin, cwd=cwd or self.path)

    def git(self, *args, **more):
        return self.run("git", *args, **more)

    def write(self, name, data="x\n", mode=None):
        path = os.path.join(self.path, name)
        put(self.home, self.path, path, data)
        if mode is not None:
            os.chmod(path, mode)

    def commit(self, message="c"):
        return self.run("sh", "-ec", 'git add -A; git commit -q -m "$1"; git rev-parse HEAD', "sh", message).strip()

    def fingerprint(self):
        return fingerprint(self.path)


def put(home, top, path, data):
    """A file of the home's user, and the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    while home.uid is not None and path != top:
        os.chown(path, home.uid, home.uid)
        path = os.path.dirname(path)


def run_as(home, *argv, stdin=None, cwd=None):
    who = {} if home.uid is None else {"user": home.uid, "group": home.uid, "extra_groups": []}
    done = subprocess.run(argv, cwd=cwd, env=home.env, input=stdin, capture_output=True, text=True, **who)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def tree(top, skip=()):
    """{path: what is there} of all below top."""
    found = {}
    for folder, dirs, files in os.walk(top):
        dirs[:] = [d for d in dirs if os.path.relpath(os.path.join(folder, d), top) not in skip]
        for name in dirs + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if os.path.islink(path):
                what = ("link", os.readlink(path))
            elif os.path.isdir(path):
                what = ("dir", st.st_mode & 0o777)
            else:
                with open(path, "rb") as file:
                    what = ("file", st.st_mode & 0o777, hashlib.sha256(file.read()).hexdigest())
            found[os.path.relpath(path, top)] = what
    return found


def fingerprint(top):
    """All of a checkout, .git too, with the times of writing: nothing may have touched it."""
    times = {}
    for folder, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(folder, name)
            times[path] = os.lstat(path).st_mtime_ns
    return tree(top), times


class Guest:
    """The folder that plays a VM's disk."""

    def __init__(self, home, fake, name="web", folder="guest"):
        self.home, self.name = home, name
        self.path = os.path.join(home.path, folder, "repo")
        os.makedirs(os.path.dirname(self.path))
        home.own(home.path)
        self.agent = FakeAgent(home, fake, name)
        fake.on("GET", f"/v1/vms/{name}", running(name))

    def prepare(self, path, *flags):
        return self.home.run("vm", "workspace", "prepare", self.name, path, "--guest-path", self.path, *flags)

    def git(self, *args):
        return run_as(self.home, "git", *args, cwd=self.path)

    def write(self, name, data):
        path = os.path.join(self.path, name)
        put(self.home, self.path, path, data)

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read()

    def has(self, name):
        return os.path.lexists(os.path.join(self.path, name))

    def files(self):
        """Its work tree, without .git."""
        return {k: v for k, v in tree(self.path, {".git"}).items() if v[0] != "dir"}

    def calls(self):
        return len(self.agent.bodies)

    def with_path(self, folder):
        """Only programs of this folder are in the guest."""
        def change(body):
            words = body["argv"]
            return ["/usr/bin/env", f"PATH={folder}", *(["sh", *words[1:]] if words[0] == "/bin/sh" else words)]
        self.agent.change = change
