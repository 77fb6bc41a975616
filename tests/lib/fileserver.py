# SPDX-License-Identifier: ISC
"""An http server on loopback whose answers a test writes: files, ranges, and everything that is wrong."""
import http.server
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.hostile.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        try:
            self.server.hostile.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            pass

    do_POST = do_GET

    def body(self, data, status=200, headers=(), length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def ranged(self, data):
        """As a server that knows ranges."""
        wanted = self.headers.get("Range")
        if not wanted:
            return self.body(data)
        start = int(wanted[len("bytes="):].rstrip("-"))
        if start >= len(data):
            return self.body(b"", 416)
        return self.body(data[start:], 206, [("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")])

    def stall(self):
        """Sends no more until the test ends."""
        self.wfile.flush()
        self.server.hostile.over.wait(60)
        self.close_connection = True

    def cut(self):
        """Ends the connection in the middle of a body."""
        self.wfile.flush()
        self.close_connection = True


class Server:
    """paths: path to a function that gets the handler. requests: (path, Range, Authorization) of each."""

    def __init__(self, address="127.0.0.1"):
        self.paths, self.requests, self.over = {}, [], threading.Event()
        self.http = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.http.daemon_threads = True
        self.http.hostile = self
        self.port = self.http.server_address[1]
        self.host = f"{address}:{self.port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, handler):
        what = self.paths.get(handler.path.split("?")[0])
        if what is None:
            handler.body(b"nothing here", 404)
        elif callable(what):
            what(handler)
        else:
            handler.ranged(what)

    def close(self):
        self.over.set()
        self.http.shutdown()
        self.http.server_close()
