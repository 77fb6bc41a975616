# SPDX-License-Identifier: ISC
"""Plays bangerd to the real banger-worker: one job, its answer and its progress."""
import array
import json
import os
import socket
import subprocess

BUILD = os.environ.get("BANGER_BUILD", "build")
WORKER = os.path.abspath(os.path.join(BUILD, "worker/banger-worker"))


class Failed(Exception):
    def __init__(self, error):
        super().__init__(error["code"] + ": " + error["message"])
        self.code, self.message, self.hint = error["code"], error["message"], error.get("hint")


class Job:
    """Started at once; wait() gives the result or raises Failed."""

    def __init__(self, name, fds, /, env=None, **params):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"job": name, **params}).encode()
        ours.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        # The job's socket is descriptor 3.
        self.process = subprocess.Popen(["/bin/bash", "-c", f'exec "$0" 3<&{theirs.fileno()}', WORKER], pass_fds=[theirs.fileno()],
                                        stdin=subprocess.DEVNULL, env=env)
        theirs.close()
        self.sock = ours
        self.progress = []

    def next(self):
        """The next message, None at the end."""
        self.sock.settimeout(60)
        data = self.sock.recv(1 << 17)
        if not data:
            return None
        message = json.loads(data)
        if "progress" in message:
            self.progress.append(message["progress"])
        return message

    def wait(self):
        answer = None
        while message := self.next():
            assert answer is None, "something after the last word"
            if "progress" not in message:
                answer = message
        self.status = self.process.wait(30)
        self.sock.close()
        assert answer is not None, f"no answer, status {self.status}"
        assert self.status == 0
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.sock.close()


def run(name, fds, /, **params):
    return Job(name, fds, **params).wait()
