# SPDX-License-Identifier: ISC
"""What tests inside the lab host use: paths, bounded commands and waits, tiny guests."""
import contextlib
import functools
import glob
import json
import os
import platform
import pwd
import shutil
import struct
import subprocess
import time

from hostuser import HostUser

INSIDE = os.path.exists("/etc/banger-lab")
BOOT = int(os.environ.get("BANGER_LAB_BOOT", "1"))
SOURCE = os.environ.get("BANGER_SOURCE", "")
BUILD = os.environ.get("BANGER_BUILD", "")
KEEP = "/var/lib/lab/keep"      # survives the reboot
RESULTS = "/lab/results"        # plain files here are brought back as logs
ASSETS = "/usr/share/banger-lab"  # kernel.deb, guest.ext4: see machine/build-image
FIRECRACKER = "/usr/local/bin/firecracker"
BUSYBOX = "/bin/busybox"
BOOT_S = 500  # a guest in a guest, where other work may keep the machine busy


def run(argv, timeout=120, **kw):
    """A command that must succeed; its output."""
    out = subprocess.run(argv, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True, **kw)
    assert out.returncode == 0, f"{argv}: status {out.returncode}\n{out.stdout}\n{out.stderr}"
    return out.stdout


def until(condition, what, timeout=30, every=0.05):
    """The first true value of condition(); a failure that names what did not come."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(every)


def figure(text):
    """A result in numbers, shown when the lab has ended."""
    with open(f"{RESULTS}/figures.log", "a") as f:
        f.write(text + "\n")


class Dev(HostUser):
    """A user that stays, with its home, until the machine is gone: what a developer at this host is."""

    def __init__(self, name="dev"):
        super().__init__(name, ["banger", "kvm"])

    def __enter__(self):
        self.home = f"/home/{self.name}"
        if not os.path.exists(self.home):
            run(["useradd", "--create-home", "--shell", "/bin/bash", "--groups", ",".join(self.groups), self.name])
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        # What logind would have made
        self.runtime = f"/run/user/{self.uid}"
        run(["install", "-d", "-o", self.name, "-g", self.name, "-m", "700", self.runtime])
        if not os.path.exists(f"{self.home}/.config/banger"):
            self.config("")
        return self

    def __exit__(self, *exc):
        self.save_logs()

    def config(self, text):
        """Written as config.toml: before the daemon's first start. A guest gets the time that a busy machine wants."""
        folder = f"{self.home}/.config/banger"
        self.run(["mkdir", "-p", folder], check=True)
        self.run(["sh", "-c", 'cat >"$0"', f"{folder}/config.toml"], input=f"boot_timeout = {BOOT_S}\n{text}", text=True, check=True)

    def banger(self, *args, status=0, timeout=BOOT_S + 20):
        """What the command printed; it must end with that status."""
        out = self.run(["banger", *args], timeout=timeout, capture_output=True, text=True)
        if out.returncode != status and args[0] == "vm" and args[1] in ("create", "start", "restart"):
            print(self.run(["banger", "vm", "logs", "--tail", "60", args[2]], timeout=timeout, capture_output=True, text=True).stdout)
        assert out.returncode == status, f"banger {args}: status {out.returncode}\n{out.stdout}\n{out.stderr}"
        return out.stdout

    def show(self, vm):
        return json.loads(self.banger("vm", "show", vm, "--json"))

    def ssh(self, vm, command, **kw):
        return self.banger("vm", "ssh", vm, "--", command, **kw)

    def in_guest(self, vm, command):
        """What it printed, or None when ssh or the command failed."""
        out = self.run(["banger", "vm", "ssh", vm, "--", command], timeout=BOOT_S, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return out.stdout if out.returncode == 0 else None

    def later(self, vm, command):
        """Lets the guest go down without taking this connection along."""
        self.ssh(vm, f"nohup sh -c 'sleep 1; {command}' >/dev/null 2>&1 </dev/null &")

    def boot_id(self, vm):
        return self.in_guest(vm, "cat /proc/sys/kernel/random/boot_id")

    def stopped(self, vm):
        record = self.show(vm)
        return record["state"] == "stopped" and record["operation"] is None

    def own_image(self, asset, name):
        """Registers a copy of a guest's disk: overlays lie over files of the user's own."""
        path = f"{self.home}/{name}.ext4"
        run(["cp", "--sparse=always", f"{ASSETS}/{asset}.ext4", path])
        run(["chown", self.name, path])
        self.banger("image", "register", "--name", name, "--rootfs", path)
        return path

    def save_logs(self):
        """banger's logs of this user, brought back with the results."""
        state = f"{self.home}/.local/state/banger"
        for path in glob.glob(f"{state}/**/*.log", recursive=True):
            name = os.path.relpath(path, state).replace("/", "-")
            with contextlib.suppress(FileNotFoundError):  # of a VM that was deleted: the trash is emptied beside this
                shutil.copy(path, f"{RESULTS}/{self.name}-boot{BOOT}-{name}")


def kernel_release():
    return platform.release()


def bzimage():
    """The lab host's own kernel, good for guests too."""
    return f"/boot/vmlinuz-{kernel_release()}"


@functools.lru_cache
def vmlinux():
    """The ELF file inside bzimage(): payload offset and length from the setup header (Linux: boot.rst, 2.08)."""
    path = f"/tmp/vmlinux-{kernel_release()}"
    with open(bzimage(), "rb") as f:
        image = f.read()
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    packed = image[start:start + length]
    tools = {b"\x02\x21\x4c\x18": ["lz4", "-dc"], b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
             b"\xfd7zX": ["xz", "-dc", "--single-stream"], b"\x1f\x8b\x08\x00": ["gzip", "-dc"]}
    # The last four bytes are the unpacked size: tools may complain about them, the size tells
    size = struct.unpack("<I", packed[-4:])[0]
    with open(path, "wb") as out:
        subprocess.run(tools[packed[:4]], input=packed[:-4], stdout=out, stderr=subprocess.DEVNULL, timeout=60)
    assert os.path.getsize(path) == size
    return path


def module_files(*names):
    """Paths of modules and what they need, in the order of loading."""
    lines = run(["modprobe", "--show-depends", "--ignore-install", "--all", *names]).splitlines()
    return list(dict.fromkeys(line.split()[1] for line in lines if line.startswith("insmod")))


def cpio(entries):
    """A newc archive of {name: bytes}; folders are made as needed."""
    out, done = b"", set()

    def entry(name, mode, data):
        head = "070701" + "".join(f"{n:08x}" for n in (len(done), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        made = head.encode() + name.encode() + b"\0"
        made += bytes(-len(made) % 4)
        return made + data + bytes(-len(data) % 4)

    for name, data in entries.items():
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in done:
                done.add(folder)
                out += entry(folder, 0o040755, b"")
        done.add(name)
        out += entry(name, 0o100755, data)
    return out + entry("TRAILER!!!", 0, b"")


def busybox_initrd(script, modules=()):
    """An initramfs whose /init is a busybox script that runs after the modules are in."""
    def content(path):
        with open(path, "rb") as f:
            return f.read()
    files = module_files(*modules) if modules else []
    load = "".join(f"/bin/busybox insmod /m/{i}.ko\n" for i in range(len(files)))
    init = ("#!/bin/busybox sh\n/bin/busybox mkdir -p /proc /sys /dev\n/bin/busybox mount -t devtmpfs dev /dev\n"
            "/bin/busybox mount -t proc proc /proc\n/bin/busybox mount -t sysfs sys /sys\n" + load + script)
    entries = {"init": init.encode(), "bin/busybox": content(BUSYBOX)}
    entries.update((f"m/{i}.ko", content(path)) for i, path in enumerate(files))
    return cpio(entries)


def loop_of(path):
    return run(["losetup", "--find", "--show", path]).strip()


def first(pattern):
    found = sorted(glob.glob(pattern))
    return found[0] if found else None
