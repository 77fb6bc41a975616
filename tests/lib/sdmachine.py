# SPDX-License-Identifier: ISC
"""A machine with a real systemd (user managers, logind, lingering) in namespaces of its own, up in about a second.

Its /usr is this machine's, read-only, with another /usr/local; /etc is a copy; /var, /home and /run are its own. No kernel of its
own and no network to the outside: what needs those belongs into tests/lab.

with Machine(folder, usr_local) as m:
    m.user("dev"); m.login("dev", ["loginctl"])

Without usr_local the folder is a whole Debian (mmdebstrap), for packages to be installed in.
"""
import os
import shutil
import subprocess
import time

CGROUPS = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(p + "/cgroup.procs")), None)
INIT = "/lib/systemd/systemd"

# $1 root, $2 name, $3 what becomes /usr/local; empty: the root has a /usr of its own.
BOOT = r"""
hostname "$2"; ip link set lo up
mount --bind "$1" "$1"; cd "$1"
[ -z "$3" ] || { mount --rbind /usr usr; mount -o remount,bind,ro usr; mount --bind "$3" usr/local; }
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs -o mode=755 tmpfs dev; mkdir dev/pts dev/shm dev/net
for n in null zero full random urandom tty net/tun kvm; do [ ! -e "/dev/$n" ] || cp -a "/dev/$n" "dev/$n"; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts; ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm; mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs tmpfs tmp
mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir -p .old; pivot_root . .old; cd /; umount -l /.old; rmdir /.old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /lib/systemd/systemd --log-target=console --show-status=no
"""


def why_not():
    """Why there can be none here, or None."""
    if os.geteuid() != 0:
        return "needs root: it mounts, and makes namespaces"
    for path in (INIT, "/usr/bin/dbus-daemon", "/usr/lib/systemd/user/dbus.socket"):
        if not os.path.exists(path):
            return f"{path} is not installed"
    if not CGROUPS:
        return "no cgroup2 is mounted here"
    try:
        os.mkdir(CGROUPS + "/banger-probe")
        os.rmdir(CGROUPS + "/banger-probe")
    except OSError as e:
        return f"{CGROUPS} cannot be written to: {e.strerror}"
    return None


class Machine:
    def __init__(self, folder, usr_local="", name="sdm"):
        self.root, self.usr_local, self.name = str(folder), str(usr_local), name
        self.group = f"{CGROUPS}/banger-{name}-{os.getpid()}"
        self.pid = None

    def _lay_out(self):
        for path in ("usr", "proc", "sys", "dev", "run", "tmp", "home", "root", "mnt", "var/lib/systemd", "var/lib/banger", "var/log", "var/cache", "var/tmp",
                     "var/spool"):
            os.makedirs(os.path.join(self.root, path), exist_ok=True)
        os.chmod(self.root, 0o755)
        for path in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + path, os.path.join(self.root, path))
        os.symlink("/run", os.path.join(self.root, "var/run"))
        os.symlink("/run/lock", os.path.join(self.root, "var/lock"))
        subprocess.run(["cp", "-a", "/etc", self.root + "/etc"], check=True)
        for path in ("etc/systemd/system", "etc/systemd/user", "etc/banger"):
            shutil.rmtree(os.path.join(self.root, path), ignore_errors=True)
        for path in ("etc/fstab", "etc/machine-id"):
            with open(os.path.join(self.root, path), "w"):
                pass

    def __enter__(self):
        if not os.path.exists(self.root + "/etc"):
            self._lay_out()
        self.boot()
        return self

    def boot(self):
        os.mkdir(self.group)
        self.console = open(self.root + "/../" + self.name + ".log", "ab")
        enter = f'echo $$ >{self.group}/cgroup.procs; exec unshare -m -p -f -u -i -n -C --propagation private bash -ec "$0" _ "$@"'
        self.process = subprocess.Popen(["bash", "-ec", enter, BOOT, self.root, self.name, self.usr_local],
                                        stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self._wait(self._init_pid)
        self._wait(lambda: self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in ("running", "degraded"))

    def _init_pid(self):
        assert self.process.poll() is None, self.console_text()
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            pids = f.read().split()
        return int(pids[0]) if pids else None

    def console_text(self):
        with open(self.console.name, errors="replace") as f:
            return f.read()[-4000:]

    def _wait(self, what, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = what()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"the machine did not come up: {self.console_text()}")

    def run(self, argv, check=True, timeout=300, **kw):
        """As root in it."""
        r = subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "env", "-i",
                            "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TERM=dumb", *argv],
                           capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kw)
        assert not check or r.returncode == 0, f"{argv}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def user(self, name, *groups):
        self.run(["useradd", "-m", "-s", "/bin/bash", *(["-G", ",".join(groups)] if groups else []), name])

    def login(self, user, argv, **kw):
        """In a session of its own, made by pam_systemd; it ends with the command."""
        return self.run(["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--uid=" + user, "-p", "PAMName=login", "-p", "WorkingDirectory=~",
                         "--", *argv], **kw)

    def shutdown(self):
        """As a machine goes down; what is on its disk stays, and boot() starts it again."""
        if self.pid is None:
            return
        subprocess.run(["kill", "-s", "RTMIN+4", str(self.pid)])  # systemd: poweroff.target
        try:
            self.process.wait(200)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, 9)
            self.process.wait(30)
        self.pid = None
        self.console.close()
        self._clear_group(self.group)

    @staticmethod
    def _clear_group(path):
        for top, _dirs, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(top)
            except OSError:
                pass

    def __exit__(self, *exc):
        self.shutdown()


class Seat:
    """A user of such a machine."""

    def __init__(self, machine, name, home=None):
        self.m, self.name, self.home = machine, name, home or "/home/" + name
        self.uid = machine.run(["id", "-u", name]).stdout.strip()
        self.state = f"{machine.root}{self.home}/.local/state/banger"

    def sh(self, text, **kw):
        """In a session of its own."""
        return self.m.login(self.name, ["bash", "-c", text], **kw)

    def user(self, text, **kw):
        """Beside the user manager, in no session: what runs here logs nobody in."""
        return self.m.run(["setpriv", "--reuid", self.uid, "--regid", self.uid, "--init-groups", "env", "HOME=" + self.home, "USER=" + self.name,
                           f"XDG_RUNTIME_DIR=/run/user/{self.uid}", "bash", "-c", "cd; " + text], **kw)

    def config(self, text):
        folder = f"{self.m.root}{self.home}/.config/banger"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/config.toml", "w") as f:
            f.write(text)
        self.m.run(["chown", "-R", f"{self.uid}:{self.uid}", self.home + "/.config"])

    def log(self):
        with open(self.state + "/bangerd.log") as f:
            return f.read()
