# SPDX-License-Identifier: ISC
"""tests/lib/doors.c in a VMM's place under a real bangerd: what it is told to try, and what it found."""
import glob
import os
import socket

# What a VMM may: see whether a path exists. All else would be news for docs/privilege.md.
QEMU = {"stat", "end"}
# It opens its tap by name and makes its own sockets.
FIRECRACKER = QEMU | {"tun", "unix-socket"}


class Listeners:
    """What answers on a user's machine: a datagram socket, an abstract one, a port of the loopback."""

    def __init__(self, folder):
        os.chmod(folder, 0o755)
        self.sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX), socket.socket(),
                        socket.socket(type=socket.SOCK_DGRAM)]
        bus, abstract, tcp, udp = self.sockets
        self.bus, self.abstract = f"{folder}/bus", f"doors-{os.getpid()}"
        bus.bind(self.bus)
        os.chmod(self.bus, 0o777)
        abstract.bind("\0" + self.abstract)
        tcp.bind(("127.0.0.1", 0))
        udp.bind(tcp.getsockname())
        for s in (abstract, tcp):
            s.listen(64)

    def env(self):
        return {"DOORS_DATAGRAM": self.bus, "DOORS_ABSTRACT": self.abstract, "DOORS_PORT": str(self.sockets[2].getsockname()[1])}

    def close(self):
        for s in self.sockets:
            s.close()


def user_files(home, victim):
    """Of a user with banger, those that a guest would like best; victim: the folder of another VM of the user."""
    state = f"{home}/.local/state/banger"
    databases = glob.glob(f"{state}/banger*.db")
    assert databases, os.listdir(state)
    return [f"{home}/.config/banger/ssh/id_ed25519", f"{home}/.config/banger/config.toml", *databases, f"{state}/bangerd.log",
            f"{home}/.bashrc", f"{victim}/root.img", f"{victim}/ssh_host_ed25519_key"]


def env(home, files, listeners, sock):
    missing = [p for p in files if not os.path.exists(p)]
    assert not missing, missing
    return {"DOORS_FILES": ":".join(files), "DOORS_FOLDER": home, "DOORS_STREAM": sock, **listeners.env()}


def results(text):
    """{door: is it open}, of the last whole run in a log."""
    assert "\nend\topen" in text, text
    return {line.split("\t")[0]: line.split("\t")[1] == "open" for line in text.splitlines() if line.count("\t") == 2}


def names(found, is_open=True):
    return {door.split(":")[0] for door, state in found.items() if state == is_open}
