# SPDX-License-Identifier: ISC
"""This machine's files under a systemd of their own: namespaces over an overlay that keeps nothing. Boots in seconds; needs root.

with SystemdHost([SOURCE]) as host:
    host.run("systemctl", "is-active", "basic.target")
"""
import os
import subprocess
import tempfile
import time

SYSTEMD = "/lib/systemd/systemd"
BOOT = r"""
set -e
at=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$at"
mkdir "$at"/up "$at"/work "$at"/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$at/up,workdir=$at/work" "$at/root"
root=$at/root
for folder in "$@"; do mkdir -p "$root$folder"; mount --bind -o ro "$folder" "$root$folder"; done
cd "$root"
hostname bgt-systemd; ip link set lo up
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs -o mode=755 tmpfs dev; mkdir dev/pts dev/shm dev/net
for n in null zero full random urandom tty net/tun; do [ ! -e "/dev/$n" ] || cp -a "/dev/$n" "dev/$n"; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts; ln -s pts/ptmx dev/ptmx; mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t cgroup2 cgroup2 sys/fs/cgroup
rm -f var/lib/systemd/catalog/database etc/systemd/system/*.wants/*
mkdir .old; pivot_root . .old; cd /; umount -l /.old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /lib/systemd/systemd --unit=basic.target --log-target=console --show-status=no
"""


def cgroups():
    """Where cgroup v2 is mounted."""
    return next((f for f in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f + "/cgroup.procs")), None)


class SystemdHost:
    def __init__(self, binds=()):
        self.binds = [str(b) for b in binds]

    @staticmethod
    def missing():
        """Why none can be booted here, or None."""
        if os.geteuid() != 0:
            return "needs root: it boots a systemd in namespaces"
        if not os.path.exists(SYSTEMD):
            return f"there is no {SYSTEMD} on this machine"
        if not cgroups() or not os.access(cgroups(), os.W_OK):
            return "this machine has no cgroup v2 that can be written"
        p = subprocess.run(["unshare", "-m", "-p", "-f", "-n", "-C", "bash", "-ec",
                            'mount -t tmpfs t "$0"; mkdir "$0"/u "$0"/w "$0"/r; '
                            'mount -t overlay o -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" "$0/r"; mount -t cgroup2 c "$0/u"', tempfile.gettempdir()],
                           capture_output=True, text=True)
        return None if p.returncode == 0 else f"this machine gives no namespaces with an overlay of /: {p.stderr.strip()}"

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="bgt-systemd-")
        self.group = f"{cgroups()}/bgt-systemd-{os.getpid()}"
        os.mkdir(self.group)
        self.log = open(self.folder + ".log", "w+b")

        def into_group():
            with open(self.group + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))

        self.unshare = subprocess.Popen(["unshare", "-m", "-p", "-f", "--kill-child", "-u", "-i", "-n", "-C", "--propagation", "private",
                                         "bash", "-c", BOOT, "boot", self.folder, *self.binds],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=into_group)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.unshare.poll() is None:
            with open(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children") as f:
                child = f.read().split()
            if child:
                self.pid = int(child[0])
                if self.run("systemctl", "is-active", "basic.target", ok=False).stdout.strip() == "active":
                    return
            time.sleep(0.2)
        raise AssertionError("systemd does not come up:\n" + self.console())

    def console(self):
        self.log.seek(0)
        return self.log.read()[-4000:].decode(errors="replace")

    def run(self, *argv, ok=True, timeout=300, **env):
        p = subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "env", "-i",
                            "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *[f"{k}={v}" for k, v in env.items()], *argv],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert not ok or p.returncode == 0, f"{argv}: {p.returncode}\n{p.stdout}{p.stderr}"
        return p

    def __exit__(self, *exc):
        self.unshare.kill()  # and all in its namespaces
        self.unshare.wait()
        self.log.close()
        os.unlink(self.folder + ".log")
        os.rmdir(self.folder)
        deadline = time.monotonic() + 30
        while os.path.exists(self.group):
            self._empty()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _empty(self):
        for at, _folders, _files in os.walk(self.group, topdown=False):
            try:
                os.rmdir(at)
            except OSError:
                pass
