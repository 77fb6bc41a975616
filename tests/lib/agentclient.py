# SPDX-License-Identifier: ISC
"""The host's side of common/agent_proto.h over a unix socket, for a guest that a test starts by itself."""
import os
import socket
import struct
import time

MAGIC = 0x31414742
HELLO, WELCOME, BOOT, STATUS, DONE, DATA, EXEC = 1, 2, 3, 4, 8, 16, 20
RUN, GROW = 0, 1
ROOT, REPAIRED, FS_ERROR = 1 << 0, 1 << 7, 1 << 8


class Agent:
    """One conversation; every wait ends after `seconds`."""

    def __init__(self, path, seconds=300):
        self.seconds, self.input, self.flags, self.stream = seconds, b"", 0, 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)

    def close(self):
        self.sock.close()

    def _send(self, kind, stream, payload):
        self.sock.sendall(struct.pack("<IIIHH", MAGIC, len(payload), stream, kind, 0) + payload)

    def _frame(self, end):
        """The next whole frame: type, stream, sub, payload. Bytes before its magic are passed over."""
        while True:
            at = self.input.find(struct.pack("<I", MAGIC))
            self.input = self.input[at if at >= 0 else max(0, len(self.input) - 3):]
            if at >= 0 and len(self.input) >= 16:
                _, size, stream, kind, sub = struct.unpack("<IIIHH", self.input[:16])
                if len(self.input) >= 16 + size:
                    payload, self.input = self.input[16:16 + size], self.input[16 + size:]
                    if kind == STATUS:
                        self.flags |= struct.unpack("<II", payload)[0]
                    return kind, stream, sub, payload
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            got = self.sock.recv(65536)
            if not got:
                raise EOFError("the agent's carrier ended")
            self.input += got

    def wait_boot(self):
        """Until the agent of this boot says that it is there, and has answered."""
        end = time.monotonic() + self.seconds
        while self._frame(end)[0] != BOOT:
            pass
        nonce = os.urandom(16)
        self._send(HELLO, 0, nonce)
        while True:
            kind, _, _, payload = self._frame(end)
            if kind == WELCOME and payload[:16] == nonce:
                break
        self.flags = 0
        while not self.flags & ROOT:
            self._frame(end)

    def run(self, *argv, kind=RUN):
        """A command in the guest: its status, what it wrote."""
        end = time.monotonic() + self.seconds
        self.stream += 1
        words = b"".join(w.encode() + b"\0" for w in ("root", "/", *argv))
        self._send(EXEC, self.stream, struct.pack("<HHHHIHH", kind, 0, 0, 0, 0, len(argv), 0) + words)
        out = b""
        while True:
            got, stream, _, payload = self._frame(end)
            if stream == self.stream and got == DATA:
                out += payload
            elif stream == self.stream and got == DONE:
                error, status = struct.unpack("<ii", payload)
                return (-error if error else os.waitstatus_to_exitcode(status)), out.decode()

    def ok(self, *argv, kind=RUN):
        status, out = self.run(*argv, kind=kind)
        assert status == 0, (argv, status, out)
        return out.strip()
