# SPDX-License-Identifier: ISC
"""A root that banger-init joins of two disks, the image's and the VM's own, with quickstart's kernel: what a test does to the
own file is what a host's trouble would have done to it, so QEMU is started by hand here, in emulation: whether KVM works is not
the point."""
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

from conftest import BUILD, busybox_tree, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from agentclient import FS_ERROR, GROW, REPAIRED, Agent  # noqa: E402

MIB = 1 << 20
CHUNK = 16384
BASE = 96 * MIB + 12 * 1024  # the last chunk is not whole, so that it belongs to the tail


def covered(chunk):
    return BASE // chunk * chunk


def store_of(chunk):
    n = covered(chunk) // chunk
    return -(-(1 + n + n // (chunk // 16) + 4) * chunk // MIB) * MIB


COVERED, STORE = covered(CHUNK), store_of(CHUNK)


def cpio(names):
    """A newc archive: path to bytes; None is a folder."""
    out = b""
    for i, (name, data) in enumerate([*names.items(), ("TRAILER!!!", b"")]):
        mode = 0o40755 if data is None else 0o100600
        body = data or b""
        head = "070701" + "".join("%08x" % n for n in (i + 1, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0))
        part = head.encode() + name.encode() + b"\0"
        out += part + b"\0" * (-len(part) % 4) + body + b"\0" * (-len(body) % 4)
    return out + b"\0" * (-len(out) % 512)


def without_dm(archive):
    """The kernel's archive, in which the list of device-mapper's modules has another name."""
    return archive.replace(b"banger/modules.dm\0", b"banger/modules.xx\0")


class Machine:
    """One VM: its files, and one QEMU at a time."""

    def __init__(self, folder, kernel):
        self.folder, self.kernel = str(folder), kernel
        with open(kernel["paths"]["modules_cpio"], "rb") as f:
            self.modules = f.read()
        self.base, self.own = self.folder + "/base", self.folder + "/own"
        busybox_tree(self.folder + "/tree")
        for tool in ("df", "sync", "dd", "md5sum", "mount", "rm", "test", "reboot", "stat"):
            os.symlink("busybox", f"{self.folder}/tree/bin/{tool}")
        shutil.copy("/bin/busybox", self.folder + "/tree/data")
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0", "-d", self.folder + "/tree", self.base,
                        str(BASE // 4096)], check=True)
        os.truncate(self.base, BASE)
        self.use(CHUNK)

    def use(self, chunk):
        """A new own disk, of this chunk."""
        self.chunk, self.store = chunk, store_of(chunk)
        with open(self.base, "rb") as b, open(self.own, "wb") as f:
            b.seek(covered(chunk))
            f.seek(self.store)
            f.write(b.read())
            f.truncate(self.store + 64 * MIB)

    def initrd(self, modules):
        conf = ("id 0123456789abcdef0123456789abcdef\nhostname two\nagent virtio\nbase vda\nown vdb\n"
                f"store {self.store // 512}\nchunk {self.chunk // 512}\ntime {int(time.time())}\n")
        init = open(os.path.join(BUILD, "guest", "banger-init"), "rb").read()
        with open(self.folder + "/initrd", "wb") as f:
            f.write(cpio({"init": init}) + modules + cpio({"banger": None, "banger/vm.conf": conf.encode()}))
        with open(self.folder + "/initrd", "r+b") as f:
            text = f.read()
            f.seek(0)
            f.write(text.replace(b"000081" + b"80", b"000081" + b"c0", 1))  # /init may be run: 0700

    def argv(self):
        with open("/proc/cpuinfo") as f:
            khz = int(float(next(line for line in f if line.startswith("cpu MHz")).split(":")[1]) * 1000)
        argv = ["qemu-system-x86_64", "-M", "microvm,acpi=on,pit=off,rtc=on,graphics=off,usb=off,x-option-roms=off,"
                "auto-kernel-cmdline=off", "-global", "virtio-mmio.force-legacy=false", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults", "-no-user-config", "-display", "none", "-kernel",
                self.kernel["path"], "-initrd", self.folder + "/initrd", "-append",
                "console=ttyS0 reboot=t panic=-1 quiet net.ifnames=0 random.trust_cpu=on i8042.noaux i8042.nokbd i8042.nopnp "
                f"i8042.nomux i8042.dumbkbd tsc=reliable tsc_early_khz={khz}", "-chardev", f"file,id=console,path={self.folder}/console", "-serial",
                "chardev:console", "-chardev", f"socket,id=agent,server=on,wait=off,path={self.folder}/agent.sock", "-device",
                "virtio-serial-device,max_ports=2,bus=virtio-mmio-bus.20", "-device", "virtserialport,chardev=agent,name=banger.agent",
                "-qmp", f"unix:{self.folder}/qmp.sock,server=on,wait=off"]
        for node, path, bus, ro in (("base", self.base, 23, "on"), ("root", self.own, 22, "off")):
            argv += ["-blockdev", f"driver=raw,node-name={node},read-only={ro},discard={'ignore' if ro == 'on' else 'unmap'},"
                     f"detect-zeroes={'off' if ro == 'on' else 'unmap'},file.driver=file,file.filename={path}",
                     "-device", f"virtio-blk-device,drive={node},bus=virtio-mmio-bus.{bus}"]
        return argv

    @contextlib.contextmanager
    def boot(self, modules=None):
        """The agent of a guest that runs; what it did is on the disk when it is left, or QEMU was killed."""
        self.initrd(modules or self.modules)
        qemu = subprocess.Popen(self.argv(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        agent = None
        try:
            wait_for(lambda: os.path.exists(self.folder + "/agent.sock") or qemu.poll() is not None, 30)
            assert qemu.poll() is None, qemu.stderr.read()
            agent = Agent(self.folder + "/agent.sock")
            agent.wait_boot()
            yield agent
        except (EOFError, TimeoutError) as e:
            raise AssertionError(f"{e!r}; the console:\n{self.console()}") from e
        finally:
            if agent:
                agent.close()
            qemu.kill()
            qemu.wait()
            qemu.stderr.close()
            for name in ("agent.sock", "qmp.sock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.folder}/{name}")

    def fails(self, modules=None):
        """What the console says of a guest that powers off before it has an agent."""
        self.initrd(modules or self.modules)
        subprocess.run(self.argv(), stdout=subprocess.DEVNULL, check=True, timeout=300)
        return self.console()

    def console(self):
        with open(self.folder + "/console", errors="replace") as f:
            return f.read()

    def resize(self, size):
        """The file, then the VMM, as the host does it."""
        os.truncate(self.own, size)
        with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as f:
            s.settimeout(60)
            s.connect(self.folder + "/qmp.sock")
            f.readline()
            for command in ({"execute": "qmp_capabilities"},
                            {"execute": "block_resize", "arguments": {"node-name": "root", "size": size}}):
                f.write(json.dumps(command) + "\n")
                f.flush()
                assert "return" in json.loads(f.readline())

    def head(self, data=None):
        with open(self.own, "r+b") as f:
            if data is None:
                return f.read(16)
            return f.write(data)


@pytest.fixture
def machine(banger, tmp_path):
    for row in sorted(banger.json("kernel", "list"), key=lambda k: k["name"] != "debian"):
        kernel = banger.json("kernel", "show", row["name"])
        path = kernel["paths"]["modules_cpio"]
        if path and b"banger/modules.dm\0" in open(path, "rb").read():
            return Machine(tmp_path, kernel)
    pytest.skip("the kernel was registered by a build that did not know device-mapper's modules: import it again")


def root_mib(agent):
    return int(agent.ok("df", "-m", "/").splitlines()[1].split()[1])


def digest(path):
    return subprocess.run(["md5sum", path], check=True, capture_output=True, text=True).stdout.split()[0]


def first_boot(machine):
    """A store of zeroes is a new one; the root is a block device of both disks' size, and grows while it is written to."""
    before = digest(machine.base)
    with machine.boot() as agent:
        assert not agent.flags & (REPAIRED | FS_ERROR)
        assert "/dev/dm-0 / ext4 rw" in agent.ok("cat", "/proc/mounts")
        assert agent.ok("test", "-b", "/dev/dm-0") == ""
        assert agent.ok("cat", "/sys/block/dm-0/dm/name") == "root"
        assert agent.ok("cat", "/sys/block/vda/ro") == "1"
        assert 130 < root_mib(agent) <= 160
        agent.ok("sh", "-c", "dd if=/dev/urandom of=/big bs=1048576 count=40 2>/dev/null; md5sum /big >/sum; sync")
        machine.resize(STORE + 192 * MIB)
        agent.ok("sh", "-c", "(while [ ! -e /stop ]; do echo x >>/beside; sync /beside; done) >/dev/null 2>&1 &")
        agent.ok("vdb", "/", str(STORE + 192 * MIB), kind=GROW)
        agent.ok("sh", "-c", "echo >/stop; sync")
        assert 250 < root_mib(agent) <= 288
        assert agent.ok("md5sum", "-c", "/sum") == "/big: OK"
        assert agent.ok("cat", "/sys/block/dm-0/size") == str((COVERED + 192 * MIB) // 512)
    assert machine.head() == struct.pack("<4sIII", b"SnAp", 1, 1, CHUNK // 512)
    assert digest(machine.base) == before, "the image was written to"


def after_a_kill(machine):
    """QEMU was killed: what was synced is there; the guest boots itself again in place."""
    with machine.boot() as agent:
        assert agent.ok("md5sum", "-c", "/sum") == "/big: OK"
        assert digest("/bin/busybox") == agent.ok("md5sum", "/data").split()[0]
        agent.ok("sh", "-c", "echo again >/again; rm /stop; sync")
        agent.run("sh", "-c", "reboot")
        agent.wait_boot()
        assert agent.ok("cat", "/again") == "again"
        assert 250 < root_mib(agent) <= 288
        assert not agent.flags & REPAIRED


def marked_invalid(machine):
    """As the kernel leaves it after a failed write: the guest sets it right, and says so."""
    machine.head(struct.pack("<4sIII", b"SnAp", 0, 1, CHUNK // 512))
    with machine.boot() as agent:
        assert agent.flags & REPAIRED
        assert agent.ok("cat", "/again") == "again"
        assert agent.ok("md5sum", "-c", "/sum") == "/big: OK"
        # dm-snapshot takes discards that begin inside a chunk for whole ones, and zeroes what is behind it.
        assert agent.ok("cat", "/sys/block/dm-0/queue/discard_max_bytes") == "0"
        agent.run("busybox", "fstrim", "/")
        agent.ok("sync")
    assert "vdb could not be written once: what was not synced then is lost" in machine.console()


def trimmed(machine):
    """Chunks of ext4's block size: what is freed goes back to the host, and a boot after it finds everything."""
    machine.use(4096)
    with machine.boot() as agent:
        agent.ok("sh", "-c", "cp /bin/busybox /kept; dd if=/dev/urandom of=/big bs=1048576 count=80 2>/dev/null; sync")
        before = os.stat(machine.own).st_blocks * 512
        agent.ok("sh", "-c", "rm /big; sync")
        wait_for(lambda: os.stat(machine.own).st_blocks * 512 < before - 20 * MIB, 240)
        agent.ok("busybox", "fstrim", "/")
        agent.ok("sync")
    with machine.boot() as agent:
        assert agent.ok("md5sum", "/kept").split()[0] == digest("/bin/busybox") == agent.ok("md5sum", "/data").split()[0]


def cannot_boot(machine):
    """What is missing is said in words, and the machine goes down."""
    said = machine.fails(without_dm(machine.modules))
    assert "fatal: root: this kernel has no device-mapper, which this VM's disk needs" in said, said
    machine.head(struct.pack("<4sIII", b"SnAp", 1, 1, 8))
    said = machine.fails()
    assert "fatal: root: vdb does not begin with a snapshot store of 16 KiB chunks" in said, said


def test_two_disks(machine):
    first_boot(machine)
    after_a_kill(machine)
    marked_invalid(machine)
    cannot_boot(machine)
    trimmed(machine)
