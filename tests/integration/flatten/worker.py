# SPDX-License-Identifier: ISC
"""Runs the flatten job in the real worker as an ordinary user; compares trees."""
import collections
import hashlib
import json
import os
import socket
import stat
import subprocess

FIRST_OWN = 4  # descriptors up to here have a meaning in the worker


class Failed(Exception):
    pass


def flatten(user, layers, out, **params):
    """The result; root.ext4 and seed.ext4 in out are the user's. Failed with the worker's message otherwise."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = []
    for name in ("root.ext4", "seed.ext4"):
        fds.append(os.open(f"{out}/{name}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644))
        os.fchown(fds[-1], user.uid, user.gid)
    fds += [os.open(path, os.O_RDONLY) for path in layers]
    request = {"job": "flatten", "layers": [os.path.basename(p) for p in layers], **params}
    # dup2 of a descriptor on itself would keep it closed on exec.
    theirs = socket.socket(fileno=os.dup(theirs.detach())) if theirs.fileno() < FIRST_OWN else theirs

    def prepare():
        os.dup2(theirs.fileno(), 3)
        user.become()

    child = subprocess.Popen([user.worker], preexec_fn=prepare, close_fds=False, stdin=subprocess.DEVNULL)
    theirs.close()
    socket.send_fds(ours, [json.dumps(request).encode()], fds)
    for fd in fds:
        os.close(fd)
    answer = {}
    while text := ours.recv(65536):
        answer = json.loads(text)
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    if "result" not in answer:
        raise Failed(answer.get("error", {}).get("message", "the worker died without a word"))
    return {**answer["result"], "max_kib": usage.ru_maxrss}


def fsck(image):
    r = subprocess.run(["/sbin/e2fsck", "-fn", image], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout


class Mounted:
    """Both images, read-only, the seed at /root of the other as in a guest."""

    def __init__(self, out):
        self.out, self.at = out, f"{out}/mnt"

    def __enter__(self):
        os.makedirs(self.at, exist_ok=True)
        subprocess.run(["mount", "-o", "ro,loop", f"{self.out}/root.ext4", self.at], check=True)
        try:
            subprocess.run(["mount", "-o", "ro,loop", f"{self.out}/seed.ext4", f"{self.at}/root"], check=True)
        except BaseException:
            subprocess.run(["umount", self.at], check=True)
            raise
        return self.at

    def __exit__(self, *exc):
        subprocess.run(["umount", f"{self.at}/root"], check=True)
        subprocess.run(["umount", self.at], check=True)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while part := f.read(1 << 20):
            h.update(part)
    return h.hexdigest()


def attributes(path):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    what = {"type": oct(kind), "mode": oct(stat.S_IMODE(st.st_mode)), "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns,
            "xattrs": {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}}
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        what["rdev"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    if kind == stat.S_IFREG:
        what["size"], what["sha256"] = st.st_size, digest(path)
    if kind == stat.S_IFLNK:
        what["target"] = os.readlink(path)
    return what, (st.st_dev, st.st_ino) if kind != stat.S_IFDIR and st.st_nlink > 1 else None


def tree(top):
    """{path: attributes}, and the sets of paths that are one file."""
    top = os.fsencode(top)
    names, groups = {}, collections.defaultdict(set)
    todo = [b""]
    while todo:
        name = todo.pop()
        names[name], inode = attributes(os.path.join(top, name) if name else top)
        if inode:
            groups[inode].add(name)
        if names[name]["type"] == oct(stat.S_IFDIR):
            todo += [os.path.join(name, child) for child in os.listdir(os.path.join(top, name))]
    return names, sorted(sorted(g) for g in groups.values())


def differences(want, got):
    """One line for each attribute that differs."""
    out = [f"missing {n!r}" for n in sorted(want[0].keys() - got[0].keys())]
    out += [f"too much: {n!r}" for n in sorted(got[0].keys() - want[0].keys())]
    for name in sorted(want[0].keys() & got[0].keys()):
        a, b = want[0][name], got[0][name]
        out += [f"{name!r} {k}: {a.get(k)!r} is {b.get(k)!r}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
    out += [f"links {g!r} are not one" for g in want[1] if g not in got[1]]
    out += [f"links {g!r} are one" for g in got[1] if g not in want[1]]
    return out
