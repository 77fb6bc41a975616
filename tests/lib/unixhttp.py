# SPDX-License-Identifier: ISC
"""unixhttp.py SOCKET METHOD PATH: one API call, for tests that make it as another user. Prints {"status", "body"}."""
import http.client
import json
import socket
import sys


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("banger", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(path, method, target):
    c = Connection(path)
    c.request(method, target)
    r = c.getresponse()
    body = r.read()
    return r.status, json.loads(body) if body else None


if __name__ == "__main__":
    status, body = call(*sys.argv[1:4])
    print(json.dumps({"status": status, "body": body}))
