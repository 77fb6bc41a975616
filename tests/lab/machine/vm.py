# SPDX-License-Identifier: ISC
"""One run of the lab host in QEMU: software emulation with nested SVM, a throw-away overlay over the cached image.

What goes in is a tar on a read-only disk; results come back as a tar on another; the test run is followed live over a
virtio-serial port; the console goes to a file. A reboot is a QEMU of its own over the same overlay: after a reset inside
one, emulation was found to be several times slower. QEMU is ended by pid at the latest when the deadline has passed.

The host has one processor: with a thread for each of several, Debian's QEMU can lose a write to code (tcg_accel() in
daemon/driver/vmm_qemu.c), and a host that patches its kernel at work, as KVM does, hung or died of it.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
OUT_SIZE = 512 << 20
NUDGE_S = 5
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
    """The host over all its boots. with machine.boot(n): … is one of them."""

    def __init__(self, name, image, work, tar_in, shell=False, memory=4096):
        self.name, self.work, self.shell = name, work, shell
        self.console, self.progress, self.out = work / "console.log", work / "progress.log", work / "out.img"
        self.qemu_log, self.overlay = work / "qemu.log", work / "overlay.qcow2"
        write_initrd(image, work / "initrd")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image / "root.img"), "-F", "raw",
                        str(self.overlay)], check=True)
        self.progress.touch()
        self.argv = self._argv(image, tar_in, memory)
        self.proc = None
        self.started, self.shown = time.monotonic(), 0

    def _argv(self, image, tar_in, memory):
        def disk(name, path, options):
            return ["-drive", f"if=none,id={name},file={path},{options}",
                    "-device", f"virtio-blk-pci,drive={name},serial=lab-{name}"]
        serial = "stdio,id=console,signal=off" if self.shell else f"file,id=console,path={self.console},append=on"
        # It does not outlive a runner that was killed.
        return ["setpriv", "--pdeathsig", "KILL",
                "qemu-system-x86_64", "-M", "q35,vmport=off", "-accel", "tcg", "-smp", "1", "-cpu", "max,+svm",
                "-m", str(memory), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                "-chardev", serial, "-serial", "chardev:console",
                "-kernel", str(image / "vmlinuz"), "-initrd", str(self.work / "initrd"),
                "-append", CMDLINE + (" lab.shell" if self.shell else ""),
                *disk("root", self.overlay, "format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap"),
                *disk("in", tar_in, "format=raw,readonly=on"), *disk("out", self.out, "format=raw,cache=unsafe"),
                "-chardev", f"file,id=progress,path={self.progress},append=on", "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=progress,name=lab.progress", "-device", "virtio-rng-pci",
                "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net"]

    @contextlib.contextmanager
    def boot(self):
        with open(self.out, "wb") as out:  # what the boot before left is not a result of this one
            out.truncate(OUT_SIZE)
        stdin = None if self.shell else subprocess.DEVNULL
        with open(self.qemu_log, "ab") as log:
            self.proc = subprocess.Popen(self.argv, stdin=stdin, stdout=None if self.shell else log, stderr=log)
        try:
            yield self
        finally:
            if self.proc.poll() is None:
                self.proc.kill()
            self.proc.wait()

    def nudge(self):
        """Makes QEMU's threads look again at what they wait for. On a busy host the processor's was seen asleep for minutes over a wake-up
        that had been sent, and went on at once when a debugger had stopped and continued it."""
        with contextlib.suppress(ProcessLookupError):
            self.proc.send_signal(signal.SIGSTOP)
            self.proc.send_signal(signal.SIGCONT)

    def follow(self, deadline):
        """Shows the test run as it happens, line by line; True when the machine ended by itself before the deadline of all boots."""
        nudged = time.monotonic()
        with open(self.progress, "rb") as live:
            live.seek(self.shown)
            while time.monotonic() - self.started < deadline:
                ended = self.proc.poll() is not None
                for line in live:
                    if not line.endswith(b"\n") and not ended:
                        break
                    self.shown += len(line)
                    print(f"{self.name}: " + line.decode(errors="replace").replace("\r", "").rstrip("\n"), flush=True)
                live.seek(self.shown)
                if time.monotonic() - nudged > NUDGE_S:
                    self.nudge()
                    nudged = time.monotonic()
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
        for path in (self.qemu_log, self.console):
            if path.exists():
                text += "\n".join(path.read_text(errors="replace").replace("\r", "").splitlines()[-lines:]) + "\n"
        return text
