# SPDX-License-Identifier: ISC
"""First boot's command lines against the real package managers, without a guest: dnf, zypper and pacman are Debian
packages, their repositories are made here, and the root they work in is this machine's, under an overlay. apk is no
Debian package."""
import contextlib
import functools
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading

import pytest

BUILD = os.environ.get("BANGER_BUILD", "build")
SSHD, SYSTEMD, SYSTEMCTL = "usr/sbin/sshd", "usr/lib/systemd/systemd", "usr/bin/systemctl"
ENABLE = "#!/bin/sh\necho \"$@\" >>/systemctl.log\n"
# What stands in each package; the true ones have a server and an init there.
PACKAGES = {"openssh": {SSHD: "openssh's"}, "openssh-server": {SSHD: "openssh-server's"},
            "systemd": {SYSTEMD: "systemd's", SYSTEMCTL: ENABLE}, "systemd-sysvcompat": {SYSTEMD: "sysvcompat's", SYSTEMCTL: ENABLE}}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts an overlay and changes into it")


def make_rpm(folder, name, files, fails):
    """fails: it has a script that does, after its files are there."""
    spec = [f"Name: {name}", "Version: 1", "Release: 1", "Summary: made up", "License: none", "AutoReqProv: no", "Provides: /bin/sh", "%description", "made up",
            "%install"]
    for path, text in files.items():
        source = folder / f"{name}.{os.path.basename(path)}"
        source.write_text(text)
        spec.append(f"install -D -m 755 {source} %{{buildroot}}/{path}")
    spec += ["%post", "exit 1"] if fails else []
    spec += ["%files"] + ["/" + path for path in files]
    (folder / f"{name}.spec").write_text("\n".join(spec) + "\n")
    subprocess.run(["rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", f"_topdir {folder}", "--define", f"_rpmdir {folder}/repo",
                    "--define", "_build_id_links none", "--define", "__os_install_post %{nil}", "--define", "debug_package %{nil}",
                    f"{folder}/{name}.spec"], check=True, capture_output=True)


def rpm_repository(folder, fails):
    for name, files in PACKAGES.items():
        make_rpm(folder, name, files, fails)
    subprocess.run(["createrepo_c", "-q", folder / "repo"], check=True, capture_output=True)


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def pacman_repository(folder, fails):
    os.mkdir(folder / "repo")
    index = {}
    for name, files in PACKAGES.items():
        info = f"pkgname = {name}\npkgver = 1-1\npkgdesc = made up\nsize = 100\narch = x86_64\n"
        data = tar_of({".PKGINFO": info, **files})
        (folder / f"repo/{name}-1-1-x86_64.pkg.tar.gz").write_bytes(data)
        fields = {"FILENAME": f"{name}-1-1-x86_64.pkg.tar.gz", "NAME": name, "VERSION": "1-1", "ARCH": "x86_64", "CSIZE": len(data), "ISIZE": 100,
                  "SHA256SUM": hashlib.sha256(data).hexdigest()}
        index[f"{name}-1-1/desc"] = "".join(f"%{key}%\n{value}\n\n" for key, value in fields.items())
    (folder / "repo/core.db").write_bytes(tar_of(index))


@contextlib.contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def root(tmp_path):
    """This machine's root, to be changed at will; without what the packages bring."""
    top = tmp_path / "top"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
    try:
        for name in ("upper", "work", "root"):
            (top / name).mkdir()
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={top}/upper,workdir={top}/work", top / "root"], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", top / "root/proc"], check=True)
        for path in (SSHD, SYSTEMD, SYSTEMCTL):
            (top / "root" / path).unlink(missing_ok=True)
        for path in ("var/lib/rpm", "var/lib/pacman/local"):
            subprocess.run(["rm", "-rf", top / "root" / path], check=True)
        yield top / "root"
    finally:
        subprocess.run(["umount", "-R", top], check=True)


RPM_REPOSITORY = "[made]\nname=made\nbaseurl={url}\ngpgcheck=0\nenabled=1\nautorefresh=1\n"
FAMILIES = {
    "dnf": ("fedora", rpm_repository, "etc/yum.repos.d/made.repo", RPM_REPOSITORY, "openssh-server's", "systemd's"),
    "zypper": ("opensuse-leap", rpm_repository, "etc/zypp/repos.d/made.repo", RPM_REPOSITORY, "openssh's", "systemd's"),
    "pacman": ("arch", pacman_repository, "etc/pacman.conf", "[options]\nArchitecture = x86_64\nSigLevel = Never\n[core]\nServer = {url}\n",
               "openssh's", "sysvcompat's"),
}


@pytest.mark.parametrize("tool,fails", [("dnf", False), ("dnf", True), ("zypper", False), ("zypper", True), ("pacman", False)])
def test_first_boot(root, tmp_path, tool, fails):
    """An ssh server, then an init; also where the manager grumbles about a package's script, as without an init it may."""
    family, repository, path, text, sshd, systemd = FAMILIES[tool]
    repository(tmp_path, fails)
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text(f"ID={family}\n")
    (root / "run-setup").write_bytes(open(os.path.join(BUILD, "tests/lib/run-setup"), "rb").read())
    (root / "run-setup").chmod(0o755)
    with served(tmp_path / "repo") as url:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.format(url=url))
        r = subprocess.run(["chroot", root, "/run-setup", "init"], capture_output=True, text=True, timeout=300)
    assert r.returncode == 0 and r.stdout.splitlines()[0] == f"/usr/bin/{tool}", r
    assert (root / SSHD).read_text() == sshd and (root / SYSTEMD).read_text() == systemd
    assert (root / "systemctl.log").read_text() == "enable sshd\n"
