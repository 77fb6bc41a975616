# SPDX-License-Identifier: ISC
"""A played bangerd with VMs in it: events with all records first, usage, and requests that change what it has.

What it says is what docs/api.md describes; a test changes its VMs, sends lines of its own, kills it and starts it again.
"""
import os
import queue
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))

from fake_daemon import FakeDaemon, daemon, image, kernel, running, stage, vm  # noqa: E402,F401

MIB = 1 << 20


def ident(n):
    return f"{n:032x}"


def operation(n, kind, target, **over):
    base = {"id": str(n), "kind": kind, "target": target, "state": "running", "stages": [], "progress": None, "error": None,
            "result": None, "log": None, "created_at": "2026-01-02T03:04:05Z", "elapsed_ms": 4100}
    base.update(over)
    return base


def error(message, hint=None):
    return {"code": "vm.boot_failed", "message": message, "hint": hint, "exit": 1}


def some_vms():
    """What the golden screens show."""
    return [
        running("web", "10.209.0.2", id=ident(1), memory_mib=1024, labels={"team": "web", "tier": "front"},
                publish=[{"host": 8080, "guest": 80, "open": True}, {"host": 2222, "guest": 22, "open": True}]),
        running("api", "10.209.0.3", id=ident(2), cpus=4, memory_mib=2048, publish=[{"host": 8000, "guest": 8000, "open": True}]),
        running("db", "10.209.0.4", id=ident(3)),
        running("ci-runner", "10.209.0.5", id=ident(4), cpus=4, memory_mib=4096, image="debian-docker"),
        vm("db-copy", id=ident(5), state="starting", operation="7"),
        vm("old-stack", id=ident(6), image="debian-docker"),
        vm("bad-image", id=ident(7), error=error("the kernel of bad-image has no virtio_blk", "`banger vm logs bad-image` shows its console")),
    ]


class World(FakeDaemon):
    def __init__(self, path, uid=None):
        self.vms, self.images, self.kernels, self.ops = {}, {}, {}, {}
        self.queues, self.number, self.refuse = [], 100, {}
        self.load = {}  # of a VM's name: (percent of one CPU, bytes of memory, bytes of disk)
        self.logs = {}  # of a VM's name: a list of lines; more is sent by log()
        self.guard = threading.RLock()
        super().__init__(path, uid)
        self.on("GET", "/v1/events", self._events)
        self.on("GET", "/v1/daemon", lambda c: c.json(daemon(defaults={"cpus": 2, "memory_mib": 2048, "disk_mib": 8192, "work_mib": 8192})))
        self.on("POST", "/v1/vms", self._create)
        for path, kind in (("/v1/images/pull", "image.pull"), ("/v1/images/build", "image.build"), ("/v1/kernels/pull", "kernel.pull")):
            self.on("POST", path, lambda c, kind=kind: c.json({"operation": self.begin(kind, c.body.get("name") or c.body.get("ref"))}, 202))

    # ---- what it has ----

    def fill(self, vms=None, images=None, kernels=None, ops=()):
        for record in some_vms() if vms is None else vms:
            self.vms[record["name"]] = record
            self._routes(record["name"])
        for record in images if images is not None else [image("debian", used_by=["web", "api", "db"]), image("debian-docker", real_bytes=900 * MIB)]:
            self.images[record["name"]] = record
            self.on("DELETE", f"/v1/images/{record['name']}", lambda c, n=record["name"]: self._delete_image(c, n))
        for record in kernels if kernels is not None else [kernel("cloud"), kernel("generic", modules=4211, release="6.1.0-18-amd64", used_by=[])]:
            self.kernels[record["name"]] = record
        for record in ops:
            self.ops[record["id"]] = record
            self._op_routes(record["id"])

    def _routes(self, name):
        for verb in ("start", "stop", "restart", "kill", "set"):
            self.on("POST", f"/v1/vms/{name}/{verb}", lambda c, verb=verb: self._verb(c, name, verb))
        self.on("DELETE", f"/v1/vms/{name}", lambda c: self._delete(c, name))
        self.on("GET", f"/v1/vms/{name}/usage", lambda c: c.json({"name": name, "guest": {"memory_total_kib": 1000 * 1024, "memory_available_kib": 588 * 1024}}))
        self.on("GET", f"/v1/vms/{name}/logs", lambda c: self._log(c, name))

    def _op_routes(self, number):
        self.on("DELETE", f"/v1/operations/{number}", lambda c: self._cancel(c, number))

    # ---- what it says ----

    def _events(self, conn):
        lines = queue.Queue()
        conn.stream()
        with self.guard:
            for kind, records in (("kernel", self.kernels), ("image", self.images), ("vm", self.vms), ("operation", self.ops)):
                for record in list(records.values()):
                    conn.line({"type": kind, "action": "present", "name": record.get("name", record.get("target")), "record": record})
            conn.line({"type": "sync"})
            if self.load:
                conn.line(self._usage())
            self.queues.append(lines)
        while (line := lines.get()) is not None:
            conn.line(line)

    def send(self, line):
        with self.guard:
            for one in self.queues:
                one.put(line)

    def tell(self, kind, record, action="changed"):
        self.send({"type": kind, "action": action, "name": record.get("name", record.get("target")), "record": record})

    def _usage(self):
        return {"type": "usage", "at": "2026-01-02T03:04:05Z", "vms": [
            {"name": name, "id": self.vms[name]["id"], "cpu_percent": cpu, "cpu_seconds": 1.5, "memory_bytes": memory, "disk_bytes": disk,
             "written_bytes": 0} for name, (cpu, memory, disk) in self.load.items() if name in self.vms]}

    def usage(self):
        self.send(self._usage())

    def stop(self):
        with self.guard:
            for one in self.queues:
                one.put(None)
            self.queues = []
        super().stop()

    # ---- what it is asked for ----

    def begin(self, kind, target, **over):
        with self.guard:
            self.number += 1
            record = operation(self.number, kind, target, elapsed_ms=0, **over)
            self.ops[record["id"]] = record
        self._op_routes(record["id"])
        self.tell("operation", record)
        return record

    def end(self, op, state="done", **over):
        op.update(state=state, **over)
        self.tell("operation", op)

    def set_vm(self, name, **over):
        with self.guard:
            self.vms[name].update(over)
            self.tell("vm", dict(self.vms[name]))

    def _verb(self, conn, name, verb):
        if (name, verb) in self.refuse:
            conn.error(409, "vm.wrong_state", self.refuse[name, verb], "a hint")
            return
        op = self.begin("vm." + verb, name)
        conn.json({"operation": op}, 202)
        if verb in ("start", "restart"):
            self.set_vm(name, state="running", ready=True, address="10.209.0.9", pid=1, started_at="2026-01-02T03:04:09Z", error=None)
        elif verb == "set":
            with self.guard:
                self.vms[name].update({k: v for k, v in conn.body.items() if k not in ("publish", "unpublish", "labels")})
                self.tell("vm", dict(self.vms[name]))
        else:
            self.set_vm(name, state="stopped", ready=False, address=None, pid=None, started_at=None)
        self.end(op)

    def _create(self, conn):
        name = conn.body["name"]
        op = self.begin("vm.create", name)
        conn.json({"operation": op}, 202)
        with self.guard:
            self.vms[name] = vm(name, id=ident(self.number + 1000), state="creating", operation=op["id"])
        self._routes(name)
        self.tell("vm", dict(self.vms[name]))
        self.set_vm(name, state="running", ready=True, address="10.209.0.77", operation=None, started_at="2026-01-02T03:04:09Z")
        self.end(op)

    def _delete(self, conn, name):
        op = self.begin("vm.delete", name)
        conn.json({"operation": op}, 202)
        with self.guard:
            del self.vms[name]
        self.send({"type": "vm", "action": "deleted", "name": name, "record": None})
        self.end(op)

    def _delete_image(self, conn, name):
        op = self.begin("image.delete", name)
        conn.json({"operation": op}, 202)
        with self.guard:
            del self.images[name]
        self.send({"type": "image", "action": "deleted", "name": name, "record": None})
        self.end(op)

    def _cancel(self, conn, number):
        op = self.ops[number]
        conn.json({"operation": op}, 202)
        self.end(op, "cancelled")

    def _log(self, conn, name):
        lines = queue.Queue()
        conn.stream()
        with self.guard:
            for line in self.logs.get(name, []):
                conn.chunk(line.encode("utf-8", "surrogateescape") + b"\n")
            self.queues.append(lines)
            self.following = lines
        while (line := lines.get()) is not None:
            if isinstance(line, str):
                conn.chunk(line.encode() + b"\n")

    def log(self, line):
        """One more line for who follows a log."""
        self.following.put(line)
