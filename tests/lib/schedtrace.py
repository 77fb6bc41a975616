# SPDX-License-Identifier: ISC
"""What the kernel's scheduler did with a thread, event by event: when it went to sleep, when it was woken, when it got a processor again. So a
wait for a disk is told from a wait for a processor, however busy the machine is. Root only; by the kernel's own tracing (tracefs).

    with SchedTrace("bangerd-engine") as sched: ...     # one that strace traces meanwhile: that tells it from others of its name
    sched.slept(began, ended)                           # seconds of CLOCK_MONOTONIC
"""
import bisect
import os
import pathlib
import re
import subprocess
import tempfile

EVENTS = ("sched_switch", "sched_waking")
LINE = re.compile(r" (\d+\.\d+): (\w+): (.*)")
SWITCH = re.compile(r"prev_comm=(.*) prev_pid=(\d+) prev_prio=\d+ prev_state=(\S+) ==> next_comm=(.*) next_pid=(\d+)")
WAKING = re.compile(r"comm=(.*) pid=(\d+) ")
BUFFER_KIB = 16384


def usable():
    """Why it cannot be had here; None: it can."""
    try:
        with SchedTrace("nobody"):
            return None
    except (OSError, subprocess.CalledProcessError) as e:
        return str(e)


class SchedTrace:
    def __init__(self, comm):
        self.comm = comm
        self.rests = []  # (from when, state, until when it was to run again, until when it ran)

    def __enter__(self):
        self.mount = tempfile.mkdtemp(prefix="banger-tracefs-")
        self.folder = None
        try:
            subprocess.run(["mount", "-t", "tracefs", "tracefs", self.mount], check=True, capture_output=True)
            folder = pathlib.Path(self.mount, "instances", f"banger-{os.getpid()}")
            folder.mkdir()
            self.folder = folder
            (folder / "trace_clock").write_text("mono")
            (folder / "buffer_size_kb").write_text(str(BUFFER_KIB))
            for event, of in zip(EVENTS, ('prev_comm == "{0}" || next_comm == "{0}"', 'comm == "{0}"')):
                (folder / "events/sched" / event / "filter").write_text(of.format(self.comm))
                (folder / "events/sched" / event / "enable").write_text("1")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, *exc):
        try:
            if not kind:
                for event in EVENTS:
                    (self.folder / "events/sched" / event / "enable").write_text("0")
                self.read((self.folder / "trace").read_text())
        finally:
            self.end()

    def end(self):
        if self.folder:
            os.rmdir(self.folder)
        subprocess.run(["umount", self.mount], capture_output=True)
        os.rmdir(self.mount)

    def read(self, text):
        rests, open_rests = {}, {}  # by pid
        for line in text.splitlines():
            m = None if line.startswith("#") else LINE.search(line)
            if not m:
                continue
            at, found = float(m[1]), (SWITCH if m[2] == "sched_switch" else WAKING).match(m[3])
            if m[2] == "sched_waking" and found and found[2] in open_rests:
                open_rests[found[2]][2] = open_rests[found[2]][2] or at
            elif m[2] == "sched_switch" and found and found[1] == self.comm:
                open_rests[found[2]] = [at, found[3], None]
            if m[2] == "sched_switch" and found and found[5] in open_rests:
                since, state, woken = open_rests.pop(found[5])
                rests.setdefault(found[5], []).append((since, state, woken or at, at))
        traced = {pid: sum(state == "t" for _, state, _, _ in list_) for pid, list_ in rests.items()}
        if traced:
            self.rests = rests[max(traced, key=traced.get)]
        self.begins = [rest[0] for rest in self.rests]

    def within(self, began, ended):
        """Of its rests, the parts in that time."""
        first = max(bisect.bisect_left(self.begins, began) - 1, 0)
        for since, state, woken, ran in self.rests[first:]:
            if since >= ended:
                break
            if ran > began:
                yield max(since, began), state, min(max(woken, began), ended), min(ran, ended)

    def slept(self, began, ended, states="SD"):
        """How long it waited for something else than a processor or its tracer. Only "D": not to be disturbed, as who waits for a disk."""
        return sum(woken - since for since, state, woken, _ in self.within(began, ended) if state[0] in states)

    def off(self, began, ended):
        """How long it had no processor, for whatever reason."""
        return sum(ran - since for since, _, _, ran in self.within(began, ended))
