# SPDX-License-Identifier: ISC
"""A guest played by the test: it answers ARP at a tap and sends what no honest guest would."""
import fcntl
import os
import random
import select
import struct
import threading
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
MAC = bytes.fromhex("026267000000")
IPV4, ARP = b"\x08\x00", b"\x08\x06"
ICMP, TCP, UDP = 1, 6, 17
SYN, RST, ACK = 2, 4, 16
PATIENCE = 30  # seconds for what has to come: a machine may be slow
QUIET = 0.3  # of silence that count as no answer, when what is asked after it is answered


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def quad(text):
    return bytes(map(int, text.split(".")))


def dotted(data):
    return ".".join(map(str, data))


def packet(source, target, protocol, payload):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + quad(source) + quad(target)
    return head[:10] + checksum(head) + head[12:] + payload


def segment(source, target, sport, dport, flags, seq=1, ack=0):
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 8192, 0, 0)
    pseudo = quad(source) + quad(target) + struct.pack(">BBH", 0, TCP, len(tcp))
    return tcp[:16] + checksum(pseudo + tcp) + tcp[18:]


class Guest:
    def __init__(self, net):
        self.net, self.address = net, net["guest"]
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", net["tap"].encode(), IFF_TAP | IFF_NO_PI))
        with open("/proc/sys/net/ipv4/conf/" + net["tap"] + "/rp_filter"):
            pass
        self.reader = threading.Lock()
        self.host = None
        self.port = random.randrange(20000, 50000)
        self.arrived = []  # (source, protocol, payload) of every packet for this guest
        self._wait_carrier()

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _wait_carrier(self):
        """The kernel lets nothing out until it has noticed that the tap is in use: asks for the gateway's MAC."""
        ask = (b"\xff" * 6 + MAC + ARP + bytes.fromhex("0001080006040001") + MAC + quad(self.address) + bytes(6)
               + quad(self.net["gateway"]))
        deadline = time.monotonic() + 20
        while not self.host and time.monotonic() < deadline:
            os.write(self.fd, ask)
            self.listen(lambda *p: self.host, 0.1)
        assert self.host, "the host does not answer ARP for the gateway"

    def listen(self, done, seconds=PATIENCE):
        """Serves the tap until done(source, protocol, payload) of a packet holds, or for some seconds."""
        assert self.reader.acquire(blocking=False), "two threads read one tap: one would take the other's answers"
        try:
            return self._listen(done, seconds)
        finally:
            self.reader.release()

    def _listen(self, done, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            frame = os.read(self.fd, 4096)
            if frame[12:14] == ARP:
                self._arp(frame)
            if frame[12:14] == IPV4:
                one = dotted(frame[26:30]), frame[23], frame[14 + (frame[14] & 15) * 4:]
                self.arrived.append(one)
                if done(*one):
                    return True
            elif self.host and done(None, None, b""):
                return True
        return False

    def _arp(self, frame):
        sha, spa, tpa = frame[22:28], frame[28:32], frame[38:42]
        if frame[20:22] == b"\0\2" and dotted(spa) == self.net["gateway"]:
            self.host = sha
        if frame[20:22] == b"\0\1" and dotted(tpa) == self.address:
            os.write(self.fd, sha + MAC + ARP + frame[14:20] + b"\0\2" + MAC + tpa + sha + spa)

    def send(self, target, protocol, payload, source=None):
        os.write(self.fd, self.host + MAC + IPV4 + packet(source or self.address, target, protocol, payload))

    def ask_names(self, data, port=None):
        """To the gateway's port 53. From a new port: the kernel remembers for a while where the last one's went."""
        self.port += 1
        self.send(self.net["gateway"], UDP, struct.pack(">HHHH", port or self.port, 53, 8 + len(data), 0) + data)

    # What is asked: each sends it, and returns what an answer is.

    def ask_ping(self, target, source=None):
        """An echo request, which may carry another's address."""
        self.port += 1
        mark = struct.pack(">HH", 7, self.port)
        icmp = b"\x08\0\0\0" + mark
        self.send(target, ICMP, icmp[:2] + checksum(icmp) + mark, source)
        return lambda s, p, d: s == target and p == ICMP and d[0] == 0 and d[4:8] == mark

    def ask_connect(self, target, port):
        """A SYN, answered with anything: accepted, or told that nobody listens."""
        self.port += 1
        mine = self.port
        self.send(target, TCP, segment(self.address, target, mine, port, SYN))
        return lambda s, p, d: s == target and p == TCP and d[2:4] == struct.pack(">H", mine)

    def ask_refused(self, target, port, udp=False):
        """An attempt that is answered at once with a reset, or an ICMP error about it."""
        self.port += 1
        mine = self.port
        payload = (struct.pack(">HHHH", mine, port, 9, 0) + b"x" if udp
                   else segment(self.address, target, mine, port, SYN))
        self.send(target, UDP if udp else TCP, payload)
        return lambda s, p, d: ((p == TCP and s == target and d[2:4] == struct.pack(">H", mine) and d[13] & RST)
                                or (p == ICMP and d[0] == 3 and d[28:30] == struct.pack(">H", mine)))

    def ask_hears(self, word, act):
        """A datagram with that text, which arrives after act()."""
        act()
        return lambda s, p, d: p == UDP and word in d

    def ping(self, target, source=None):
        return self.listen(self.ask_ping(target, source))

    def connect(self, target, port, seconds=PATIENCE):
        return self.listen(self.ask_connect(target, port), seconds)

    def refused(self, target, port, udp=False):
        return self.listen(self.ask_refused(target, port, udp))

    def hears(self, word, act):
        return self.listen(self.ask_hears(word, act))

    def in_time(self, kind, *args):
        """Asks again and again: whether it is answered in the end."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.listen(getattr(self, "ask_" + kind)(*args), QUIET):
                return True
        return False

    def silence(self, kind, *args):
        """Whether that is not answered, though what the guest asks its gateway right after it is."""
        answer, heard = getattr(self, "ask_" + kind)(*args), []

        def listen(done, seconds):
            return self.listen(lambda *p: (answer(*p) and not heard.append(p)) or done(*p), seconds)

        listen(lambda *p: False, QUIET)
        assert heard or listen(self.ask_ping(self.net["gateway"]), PATIENCE), "the guest hears nothing at all"
        return not heard
