# SPDX-License-Identifier: ISC
"""banger in a view of the machine: mounts and a network of its own, so that a test can take away or close whatever doctor looks at. In
it all is well, but for no KVM, no resolver and no keeper. Needs root."""
import json
import os

USER = "bgcli"
PROGRAMS = {"qemu-system-x86_64": "QEMU emulator version 9.2.0", "firecracker": "Firecracker v1.16.2", "ssh": "", "mmdebstrap": "", "newuidmap": ""}

BASE = """
v=$home/view; mkdir -p $v; mount -t tmpfs -o mode=755 none $v
mkdir -p $v/dev/net $v/etc
for d in null zero full random urandom net/tun; do
    touch $v/dev/$d; mount --bind /dev/$d $v/dev/$d; mount -o remount,bind,ro $v/dev/$d  # the machine's own inodes: no test changes them
done
mount -t tmpfs -o mode=755 none /run; mkdir -p /run/systemd/system
mount -t tmpfs -o mode=755 none /sys/module
[ ! -d /etc/udev/rules.d ] || mount -t tmpfs none /etc/udev/rules.d
mkdir -p /var/lib/systemd; mount -t tmpfs -o mode=755 none /var/lib/systemd; mkdir /var/lib/systemd/linger; chown $uid /var/lib/systemd/linger
touch /var/lib/systemd/linger/bgcli
cp /etc/passwd $v/etc/passwd; echo "bgcli:x:$uid:$uid::$home:/bin/sh" >>$v/etc/passwd; mount --bind $v/etc/passwd /etc/passwd
for f in subuid subgid; do echo "bgcli:100000:65536" >$v/etc/$f; touch /etc/$f; mount --bind $v/etc/$f /etc/$f; done
ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward
"""
ENTER = """
mount --rbind $v/dev /dev
cd $home
exec env -i "$@"
"""


class View:
    def __init__(self, home):
        self.home = home
        self.env = {**home.env, "PATH": home.path + "/bin", "XDG_RUNTIME_DIR": home.path + "/run"}
        self.script, self.strace = "", []
        for name, version in PROGRAMS.items():
            self.program(name, version)

    def program(self, name, version):
        return self.home.program("bin/" + name, f"#!/bin/sh\necho '{version}'\n")

    def without(self, name):
        os.unlink(self.home.path + "/bin/" + name)

    def inject(self, *faults):
        """strace's words, "unshare:error=EPERM"."""
        self.strace = ["/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + ",".join(f.split(":")[0] for f in faults)]
        for fault in faults:
            self.strace += ["-e", "inject=" + fault]

    def command(self, *args):
        """What runs `banger args` there, as an argv for root."""
        uid = str(self.home.uid)
        entry = f"set -e; home={self.home.path}; uid={uid}\n" + BASE + self.script + ENTER
        return ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", entry, "sh", *[f"{k}={v}" for k, v in self.env.items()],
                "/usr/bin/setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", *self.strace, self.home.banger, *args]

    def run(self, *args):
        uid, banger = self.home.uid, self.home.banger
        command = self.command(*args)
        self.home.uid, self.home.banger = None, command[0]
        try:
            return self.home.run(*command[1:], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        finally:
            self.home.uid, self.home.banger = uid, banger

    def checks(self):
        """{row: its record} of doctor --json there."""
        result = self.run("doctor", "--json")
        assert result.status in (0, 5), result
        return {c["name"]: c for c in json.loads(result.out)["checks"]}
