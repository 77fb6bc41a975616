# SPDX-License-Identifier: ISC
"""Plays two guests: guest_ping.py GATEWAY TAP ADDRESS OTHER_TAP OTHER_ADDRESS, run as the taps' owner.

Pings the gateway from both until both are answered; then from the first with the other's address and with its own.
Prints the addresses that the host answered, at either tap, before and after."""
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
GUEST_MAC = bytes.fromhex("026267000000")
IPV4, ARP = b"\x08\x00", b"\x08\x06"


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def echo_request(source, target):
    icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 7)
    icmp = icmp[:2] + checksum(icmp) + icmp[4:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0) + source + target
    return head[:10] + checksum(head) + head[12:] + icmp


def quad(text):
    return bytes(map(int, text.split(".")))


def arp_reply(request):
    """As the guest that has every address asked for."""
    sha, spa, tpa = request[22:28], request[28:32], request[38:42]
    return sha + GUEST_MAC + ARP + request[14:20] + b"\0\x02" + GUEST_MAC + tpa + sha + spa


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def main(gateway, tap, true, other_tap, other):
    sender = open_tap(tap)
    fds = [sender, open_tap(other_tap)]
    with open(f"/sys/class/net/{tap}/address") as f:
        host = bytes.fromhex(f.read().strip().replace(":", ""))
    seen = set()

    def listen(seconds):
        while ready := select.select(fds, [], [], seconds)[0]:
            frame = os.read(ready[0], 2048)
            if frame[12:14] == ARP and frame[20:22] == b"\0\x01":
                os.write(ready[0], arp_reply(frame))
            elif frame[12:14] == IPV4 and frame[23] == 1 and frame[34] == 0:
                seen.add(".".join(map(str, frame[30:34])))

    def ping(tap_fd, source, mac):
        os.write(tap_fd, mac + GUEST_MAC + IPV4 + echo_request(quad(source), quad(gateway)))

    # The kernel lets nothing out until it has noticed that a tap is in use: both must be heard first.
    with open(f"/sys/class/net/{other_tap}/address") as f:
        other_host = bytes.fromhex(f.read().strip().replace(":", ""))
    deadline = time.monotonic() + 20
    while seen != {true, other} and time.monotonic() < deadline:
        ping(sender, true, host)
        ping(fds[1], other, other_host)
        listen(0.2)
    print("before:", *sorted(seen))
    seen.clear()
    ping(sender, other, host)
    deadline = time.monotonic() + 20
    while true not in seen and time.monotonic() < deadline:
        ping(sender, true, host)
        listen(0.2)
    listen(0.2)
    print("after:", *sorted(seen))


main(*sys.argv[1:])
