# SPDX-License-Identifier: ISC
"""A bangerd that says what a test tells it to.

HTTP/1.1 over a unix socket, standard library only, one thread per connection (the CLI sends one
request on each). A test registers an answer per method and path; an answer is a function of the
connection, so that it can also stall, lie, or hang up in the middle. What was asked is kept in
.requests. It is the only fake of the daemon that the CLI is tested with.
"""
import json
import os
import socket
import threading


class Hangup(Exception):
    """An answer is over, however it looks: close the connection."""


class Connection:
    """One request and the means to answer it."""

    def __init__(self, sock, method, path, query, body):
        self.sock, self.method, self.path, self.query, self.body = sock, method, path, query, body

    def raw(self, data):
        self.sock.sendall(data)

    def json(self, record, status=200):
        data = json.dumps(record).encode()
        self.raw(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                 % (status, len(data), data))

    def error(self, status, code, message, hint=None):
        self.json({"error": {"code": code, "message": message, "hint": hint, "exit": 1}}, status)

    def stream(self):
        self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    def line(self, record):
        self.chunk(json.dumps(record).encode() + b"\n")

    def end(self):
        self.raw(b"0\r\n\r\n")


class FakeDaemon:
    """Serves path until stop(). Use as a context manager."""

    def __init__(self, path, uid=None):
        self.path = path
        self.answers = {}
        self.requests = []
        self.operations = 0
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        if uid is not None:
            os.chown(path, uid, uid)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def on(self, method, path, answer):
        """answer: a record for status 200, or a function of the Connection."""
        self.answers[method, path] = answer

    def asked(self, method, path):
        """The bodies of such requests so far."""
        with self.lock:
            return [r[3] for r in self.requests if r[0] == method and r[1] == path]

    def wait_asked(self, method, path, timeout=20):
        """Waits until such a request came."""
        with self.changed:
            done = self.changed.wait_for(
                lambda: any(r[0] == method and r[1] == path for r in self.requests), timeout)
        assert done, f"{method} {path} did not come within {timeout} s"

    def operation(self, method, path, kind, target, records):
        """Answers a request with 202 and an operation whose stream is records.

        records: a list of dicts over the running record, or a function (connection, record
        maker) for a stream of one's own. Returns the operation's id.
        """
        self.operations += 1
        ident = str(self.operations)

        def record(**over):
            base = {"id": ident, "kind": kind, "target": target, "state": "running", "stages": [],
                    "progress": None, "error": None, "result": None, "log": None,
                    "created_at": "2026-01-02T03:04:05Z", "elapsed_ms": 1500}
            base.update(over)
            return base

        def follow(conn):
            conn.stream()
            if callable(records):
                records(conn, record)
            else:
                for over in records:
                    conn.line(record(**over))
            conn.end()

        self.on(method, path, lambda conn: conn.json({"operation": record()}, 202))
        self.on("GET", f"/v1/operations/{ident}/events", follow)
        return ident

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with sock:
                conn = self._read(sock)
                if conn:
                    self._answer(conn)
        except (Hangup, BrokenPipeError, ConnectionResetError):
            pass

    def _read(self, sock):
        file = sock.makefile("rb")
        first = file.readline().decode()
        if not first:
            return None
        method, target, _ = first.split()
        length = 0
        while True:
            line = file.readline().decode().strip()
            if not line:
                break
            name, value = line.split(":", 1)
            if name.lower() == "content-length":
                length = int(value)
        body = json.loads(file.read(length)) if length else None
        path, _, query = target.partition("?")
        return Connection(sock, method, path, query, body)

    def _answer(self, conn):
        with self.changed:
            self.requests.append((conn.method, conn.path, conn.query, conn.body))
            answer = self.answers.get((conn.method, conn.path))
            self.changed.notify_all()
        if answer is None:
            conn.error(404, "request.no_route", f"the fake has no {conn.method} {conn.path}")
        elif callable(answer):
            answer(conn)
        else:
            conn.json(answer)


def stage(name, text, ms=12, state="done"):
    return {"name": name, "text": text, "ms": ms, "state": state}


def vm(name, **over):
    """A record as docs/api.md has it."""
    base = {
        "name": name, "id": "0123456789abcdef0123456789abcdef", "state": "stopped", "ready": False,
        "image": "debian", "kernel": "cloud", "cpus": 2, "memory_mib": 1024, "disk_mib": 8192,
        "work_mib": 4096, "nat": True, "labels": {}, "publish": [], "vmm": None, "accel": None, "vmm_reason": None,
        "storage": "reflink", "address": None, "pid": None, "created_at": "2026-01-02T03:04:05Z",
        "started_at": None, "error": None, "operation": None, "suspended_at": None, "suspended_bytes": None, "resume_note": None,
        "paths": {"dir": f"/s/vms/{name}", "disk": f"/s/vms/{name}/root.img",
                  "work": f"/s/vms/{name}/work.img", "serial_log": f"/s/vms/{name}/serial.log",
                  "vmm_log": f"/s/vms/{name}/vmm.log"},
        "ssh": {"user": "root", "port": 22, "key": "/c/ssh/id_ed25519",
                "known_hosts": "/c/ssh/known_hosts", "sshd": True},
    }
    base.update(over)
    return base


def running(name, address="10.209.1.2", **over):
    fields = {"state": "running", "ready": True, "address": address, "pid": 4711, "vmm": "qemu",
              "accel": "tcg", "vmm_reason": "no KVM here", "started_at": "2026-01-02T03:04:09Z"}
    fields.update(over)
    return vm(name, **fields)


def image(name, **over):
    base = {"name": name, "managed": True, "kernel": "cloud", "size_bytes": 2 << 30,
            "real_bytes": 700 << 20, "shared_bytes": 0, "os": "Debian GNU/Linux 12 (bookworm)", "has_sshd": True,
            "source": "build", "created_at": "2026-01-02T03:04:05Z", "used_by": ["web"],
            "paths": {"rootfs": f"/s/images/{name}/rootfs.img", "work_seed": None,
                      "build_log": f"/s/images/{name}/build.log"}}
    base.update(over)
    return base


def kernel(name, **over):
    base = {"name": name, "format": "bzimage", "release": "6.1.0-18-cloud-amd64",
            "size_bytes": 7 << 20, "real_bytes": 112 << 20, "shared_bytes": 60 << 20, "modules": 342, "created_at": "2026-01-02T03:04:05Z",
            "used_by": ["debian"], "path": f"/s/kernels/{name}/vmlinuz"}
    base.update(over)
    return base


def daemon(**over):
    base = {"version": "0.1.0", "pid": 4712, "monitor_pid": 4711, "socket": "/r/bangerd.sock",
            "log": "/s/bangerd.log", "config": "/c/config.toml", "state_dir": "/s",
            "cache_dir": "/k", "started_at": "2026-01-02T03:04:05Z", "rss_kib": 5120,
            "vms": {"total": 3, "running": 1},
            "helper": {"ok": True, "path": "/usr/libexec/banger/banger-privhelper", "error": None},
            "vmm": {"name": "qemu", "accel": "tcg", "path": "/usr/bin/qemu-system-x86_64",
                    "version": "7.2.9", "reason": "KVM does not run guests here"},
            "storage": {"driver": "reflink", "reason": "btrfs"},
            "ssh": {"key": "/c/ssh/id_ed25519", "known_hosts": "/c/ssh/known_hosts"}}
    base.update(over)
    return base
