# SPDX-License-Identifier: ISC
"""Ordinary users of the test machine, made and removed by the tests; needs root.

with HostUser("bgt-a", groups=["banger"]) as user:
    user.run(["id"])
"""
import json
import os
import pwd
import shutil
import subprocess
import tempfile

# A callback of bangerd's loop that takes longer by itself fails the test; see daemon/loop/loop.h. 0: none does. The lab's
# processor is an emulation's in an emulation: everything takes long there.
LOOP_LIMIT_MS = int(os.environ.get("BANGER_LOOP_LIMIT_MS", 0 if os.path.isdir("/usr/share/banger-lab") else 50))


def is_root():
    return os.geteuid() == 0


class HostUser:
    """An ordinary user with a home of its own, gone again after the with block."""

    def __init__(self, name, groups=(), loop_limit_ms=LOOP_LIMIT_MS):
        # Two runs of the tests on one machine give their users different names.
        self.name = name.replace("bgt-", os.environ.get("BANGER_TEST_USERS", "bgt-"), 1)
        self.groups = list(groups)
        self.loop_limit_ms = loop_limit_ms

    def __enter__(self):
        self._delete()
        self.home = tempfile.mkdtemp(prefix=self.name + "-home-")
        cmd = ["useradd", "--no-create-home", "--home-dir", self.home, "--shell", "/bin/bash", self.name]
        if self.groups:
            cmd += ["--groups", ",".join(self.groups)]
        subprocess.run(cmd, check=True, capture_output=True)
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        # What a login would bring. /run/user/UID may be left over from an earlier user of that number.
        self.runtime = self.home + "/run"
        os.mkdir(self.runtime, 0o700)
        for path in (self.home, self.runtime):
            os.chown(path, self.uid, self.gid)
        return self

    def __exit__(self, kind, *exc):
        slow = self.slow_callbacks()
        self._delete()
        shutil.rmtree(self.home, ignore_errors=True)
        assert kind or not slow, f"bangerd's loop stood still: {slow}"

    def slow_callbacks(self):
        """(name, milliseconds) of those above the limit, as this user's daemons have logged them."""
        try:
            with open(self.home + "/.local/state/banger/bangerd.log") as f:
                lines = [json.loads(line) for line in f if "a callback was above the limit" in line]
        except (OSError, ValueError):
            return []
        return [(line["name"], (int(line["ran_usec"]) + int(line["slept_usec"])) // 1000) for line in lines]

    def _delete(self):
        subprocess.run(["userdel", "--force", self.name], capture_output=True)

    def command(self, argv):
        """argv as this user with its groups, in the same pid. env executes it, as setpriv still has root's capabilities."""
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups", "--", "env", "--"] + list(argv)

    def env(self, **more):
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": "/bin/bash",
                "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": self.runtime,
                **({"BANGER_LOOP_LIMIT_MS": str(self.loop_limit_ms)} if self.loop_limit_ms else {}), **more}

    def popen(self, argv, **kw):
        kw.setdefault("env", self.env())
        return subprocess.Popen(self.command(argv), **kw)

    def run(self, argv, **kw):
        kw.setdefault("env", self.env())
        kw.setdefault("timeout", 120)
        return subprocess.run(self.command(argv), **kw)

    def become(self):
        """For a preexec_fn or a forked child: this process becomes the user for good."""
        os.initgroups(self.name, self.gid)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
