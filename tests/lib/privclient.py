# SPDX-License-Identifier: ISC
"""A client of the network helper that shares no code with it: what a hostile bangerd could write."""
import os
import random
import signal
import socket
import struct
import subprocess

LIBEXEC = os.environ.get("BANGER_LIBEXEC", "/usr/libexec/banger")
HELPER = LIBEXEC + "/banger-privhelper"
HELPER_DIR = LIBEXEC + "/priv"  # where that link leads: closed to those outside the group
DISK_HELPER = LIBEXEC + "/banger-privhelper-disk"
HELLO, NET_ATTACH, NET_DETACH, LIST, CLEANUP, NET_NAT, DNS_PORT = 1, 2, 3, 4, 5, 6, 8
DISK_ATTACH, DISK_DETACH, MOUNT = 20, 21, 22
(OK, ENVIRONMENT, IDENTITY, NOT_MEMBER, NO_CAPABILITY, CONFIG, LEDGER, SANDBOX, NO_TUN, FAILED, VERSION,
 BUSY, USERS, SLOT_LIMIT, TAKEN, NOT_ATTACHED, NO_NFT, NO_FORWARD, FIREWALL, SOCKETS, NO_DM, NO_NODES, FILE, SIZE,
 OVERLAY, IN_USE, MOUNT_OFF, ROUTE, KEEPER) = range(29)
CODES_SEEN = set()  # of this process
HEAD = struct.Struct("<BBHIHB5s")


IP_FREEBIND = 15


def name_sockets(user, gateway, udp_port=0, tcp_port=0):
    """What bangerd binds: dynamic ports of the gateway's address, which is there only with a tap."""
    got = []
    os.seteuid(user.uid)
    try:
        for kind, port in (socket.SOCK_DGRAM, udp_port), (socket.SOCK_STREAM, tcp_port):
            s = socket.socket(socket.AF_INET, kind)
            got.append(s)
            s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            for _ in range(50):
                try:
                    s.bind((gateway, port or random.randrange(49152, 65536)))
                    break
                except OSError:
                    assert not port
            s.settimeout(30)
        got[1].listen()
        return got
    finally:
        os.seteuid(0)


class Refused(Exception):
    def __init__(self, code):
        super().__init__(f"helper code {code}")
        self.code = code


class Ended(Exception):
    """The helper closed its end."""


def message(verb, body=b"", rid=1, version=1, code=0, nfds=0, zero=bytes(5), length=None):
    return HEAD.pack(version, verb, len(body) if length is None else length, rid, code, nfds, zero) + body


def quad(number):
    return socket.inet_ntoa(struct.pack(">I", number))


class Helper:
    """One helper process of a HostUser, with its socket at fd 3."""

    def __init__(self, user, helper=HELPER, prepare=None, wrap=(), env=None):
        ours, theirs = self._pair(user)
        self.sock = ours
        self.sock.settimeout(30)
        self.fds = []

        def child():
            fd = theirs.fileno()
            if fd == 3:
                os.set_inheritable(3, True)
            else:
                os.dup2(fd, 3)
            user.become()
            if prepare:
                prepare()

        argv = list(wrap) + [helper]
        self.proc = subprocess.Popen(argv, preexec_fn=child, close_fds=False, env=env or {},
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        theirs.close()
        self.pid = self.proc.pid
        self.rid = 0

    @staticmethod
    def _pair(user):
        """A socketpair that the user made, as bangerd would: SO_PEERCRED is the maker's."""
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                user.become()
                pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                socket.send_fds(b, [b"x"], [s.fileno() for s in pair])
            finally:
                os._exit(0)
        _, fds, _, _ = socket.recv_fds(a, 1, 2)
        os.waitpid(pid, 0)
        a.close()
        b.close()
        return tuple(socket.socket(fileno=fd) for fd in fds)

    def raw(self, data, fds=()):
        try:
            if fds:
                socket.send_fds(self.sock, [data], list(fds))
            else:
                self.sock.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self):
        try:
            data, self.fds, _, _ = socket.recv_fds(self.sock, 4096, 4)
        except ConnectionResetError:  # once, when it ended without reading all; its last words come after
            data = self.sock.recv(4096)
        if not data:
            raise Ended()
        version, verb, length, rid, code, nfds, zero = HEAD.unpack(data[:HEAD.size])
        assert version == 1 and zero == bytes(5) and nfds == len(self.fds) and length == len(data) - HEAD.size
        return verb, rid, code, data[HEAD.size:]

    def call(self, verb, body=b"", fds=()):
        self.rid += 1
        self.raw(message(verb, body, self.rid, nfds=len(fds)), fds)
        got, rid, code, rest = self.receive()
        assert got == verb and rid in (0, self.rid)
        CODES_SEEN.add(code)
        if code != OK:
            assert rest == b""
            raise Refused(code)
        return rest

    def hello(self, table_hash=None):
        h = self.table_hash() if table_hash is None else table_hash
        got, index, slots, gateway, abilities = struct.unpack("<QBBII", self.call(HELLO, struct.pack("<Q", h)))
        assert got == h
        return {"index": index, "slots": slots, "gateway": quad(gateway), "abilities": abilities}

    _hash = None

    @classmethod
    def table_hash(cls):
        """Out of the built test program: the number cannot be known without the table."""
        if cls._hash is None:
            out = subprocess.run([os.environ["BANGER_PRIV_HASH"]], check=True, capture_output=True, text=True)
            cls._hash = int(out.stdout, 16)
        return cls._hash

    def attach(self, slot):
        fresh, tap, guest, gateway, mac = struct.unpack("<B16sII6s", self.call(NET_ATTACH, bytes([slot])))
        return {"fresh": fresh, "tap": tap.rstrip(b"\0").decode(), "guest": quad(guest), "gateway": quad(gateway),
                "mac": ":".join(f"{b:02x}" for b in mac)}

    def detach(self, slot):
        return struct.unpack("<B", self.call(NET_DETACH, bytes([slot])))[0]

    def disk_attach(self, slot, base, overlay):
        """base and overlay: descriptors. The path of the node."""
        fresh, node = struct.unpack("<B16s", self.call(DISK_ATTACH, bytes([slot]), (base, overlay)))
        return {"fresh": fresh, "node": "/dev/banger/" + node.rstrip(b"\0").decode()}

    def disk_detach(self, slot):
        return struct.unpack("<B", self.call(DISK_DETACH, bytes([slot])))[0]

    def mount(self, fd):
        """A detached mount of the image behind fd."""
        self.call(MOUNT, b"", (fd,))
        got, = self.fds
        return got

    def nat(self, slot, on, peers=0):
        return struct.unpack("<B", self.call(NET_NAT, bytes([slot, on, peers])))[0]

    def dns_port(self, udp, tcp):
        """Sockets (or descriptors) that are to be the gateway's port 53."""
        self.call(DNS_PORT, b"", [s if isinstance(s, int) else s.fileno() for s in (udp, tcp)])

    def list(self):
        return struct.unpack("<Q", self.call(LIST))[0]

    def cleanup(self):
        return struct.unpack("<Q", self.call(CLEANUP))[0]

    def wait(self):
        """The exit status, negative for a signal."""
        return self.proc.wait(timeout=30)

    def kill(self):
        if self.proc.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()
        self.sock.close()

    def close(self):
        self.sock.close()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()
