# SPDX-License-Identifier: ISC
"""One run of the lab host in QEMU: software emulation with nested SVM, a throw-away overlay over the cached image.

What goes in is a tar on a read-only disk; results come back as a tar on another; the test run is followed live over a
virtio-serial port; the console goes to a file. QEMU is ended by pid at the latest when the deadline has passed.
"""
import os
import pathlib
import subprocess
import sys
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
OUT_SIZE = 512 << 20
CMDLINE = "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off"


def cpio_entry(name, data, mode, inode):
    """newc; a trailer is what ends an archive, more may follow it."""
    head = "070701" + "".join(f"{n:08x}" for n in (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
    out = head.encode() + name.encode() + b"\0"
    out += bytes(-len(out) % 4)
    return out + data + bytes(-len(data) % 4)


def write_initrd(image, path):
    ours = b"".join([cpio_entry("init", (HERE / "init").read_bytes(), 0o100755, 1),
                     cpio_entry("lab-init", (HERE / "lab-init").read_bytes(), 0o100755, 2),
                     cpio_entry("TRAILER!!!", b"", 0, 0)])
    path.write_bytes((image / "modules.cpio").read_bytes() + ours)


class Machine:
    def __init__(self, image, work, tar_in, shell=False, memory=4096):
        self.work, self.shell = work, shell
        self.console, self.progress, self.out = work / "console.log", work / "progress.log", work / "out.img"
        write_initrd(image, work / "initrd")
        with open(self.out, "wb") as f:
            f.truncate(OUT_SIZE)
        self.progress.touch()
        self.argv = self._argv(image, tar_in, memory)
        self.proc = None

    def _argv(self, image, tar_in, memory):
        def disk(name, path, options):
            return ["-drive", f"if=none,id={name},format=raw,file={path},{options}",
                    "-device", f"virtio-blk-pci,drive={name},serial=lab-{name}"]
        serial = ["-serial", "mon:stdio"] if self.shell else ["-serial", f"file:{self.console}"]
        return ["qemu-system-x86_64", "-M", "q35,vmport=off", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max,+svm",
                "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", *serial,
                "-kernel", str(image / "vmlinuz"), "-initrd", str(self.work / "initrd"),
                "-append", CMDLINE + (" lab.shell" if self.shell else ""),
                *disk("root", image / "root.img", "snapshot=on,cache=unsafe,discard=unmap,detect-zeroes=unmap"),
                *disk("in", tar_in, "readonly=on"), *disk("out", self.out, "cache=unsafe"),
                "-chardev", f"file,id=progress,path={self.progress}", "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=progress,name=lab.progress", "-device", "virtio-rng-pci",
                "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net"]

    def __enter__(self):
        # The overlay of snapshot=on is an unlinked file in TMPDIR
        env = {**os.environ, "TMPDIR": str(self.work)}
        self.started = time.monotonic()
        stdio = None if self.shell else subprocess.DEVNULL
        self.proc = subprocess.Popen(self.argv, env=env, stdin=stdio, stdout=stdio,
                                     stderr=None if self.shell else open(self.work / "qemu.log", "wb"))
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()

    def follow(self, deadline):
        """Shows the test run as it happens; True when the machine powered itself off in time."""
        with open(self.progress, "rb") as live:
            while time.monotonic() - self.started < deadline:
                ended = self.proc.poll() is not None
                text = live.read()
                if text:
                    sys.stdout.write(text.decode(errors="replace").replace("\r", ""))
                    sys.stdout.flush()
                if ended:
                    return self.proc.returncode == 0
                try:
                    self.proc.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    pass
        return False

    def fetch(self, folder):
        """The files that the lab left, by plain name only; nothing when it left none."""
        names = []
        try:
            with tarfile.open(self.out, "r:") as tar:
                for member in tar:
                    name = os.path.basename(member.name)
                    if member.isfile() and name:
                        (folder / name).write_bytes(tar.extractfile(member).read())
                        names.append(name)
        except tarfile.ReadError:
            pass
        return names

    def tail(self, lines=40):
        text = ""
        for path in (self.work / "qemu.log", self.console):
            if path.exists():
                text += "\n".join(path.read_text(errors="replace").replace("\r", "").splitlines()[-lines:]) + "\n"
        return text
