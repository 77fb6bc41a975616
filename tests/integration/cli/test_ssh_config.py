# SPDX-License-Identifier: ISC
"""ssh-config: what is put into the user's file, taken out again, and what ssh makes of it."""
import array
import os
import socket
import stat
import subprocess
import threading

import pytest

from fake_daemon import daemon, running, vm
from sshconfig import FOR_ALL_HOSTS, REACHED


@pytest.fixture
def config(home, fake):
    fake.on("GET", "/v1/daemon", daemon())
    return home.path + "/.ssh/config"


def put(home, path, data, mode=0o600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    home.own(os.path.dirname(path))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_prints_only(home, config):
    r = home.run("ssh-config")
    assert r.status == 0 and r.out.splitlines()[1] == "Host *.vm"
    assert '\tUserKnownHostsFile "/c/ssh/known_hosts"\n' in r.out
    assert f"\tProxyCommand '{home.banger}' ssh-proxy %h %p\n" in r.out
    assert not os.path.exists(config)


@pytest.mark.parametrize("before", [
    b"", b"\n", b"Host a\n\tUser b\n", b"no newline at the end", b"Host *\r\n\tUser \xff\xfe\r\n",
    b"# banger\nInclude x\n\n\n"], ids=range(6))
def test_the_file_is_as_before(home, config, before):
    put(home, config, before, 0o644)
    r = home.run("ssh-config", "--install")
    assert r.status == 0 and "`ssh NAME.vm` works now" in r.out
    inside = read(config)
    assert inside.endswith(before) and inside.count(b"Include \"") == 1
    assert home.run("ssh-config", "--install").status == 0
    assert read(config) == inside, "twice is once"
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o644
    r = home.run("ssh-config", "--uninstall")
    assert r.status == 0 and read(config) == before
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o644
    assert not os.path.exists(home.path + "/.config/banger/ssh/config")
    r = home.run("ssh-config", "--uninstall")
    assert r.status == 0 and "has no line of banger" in r.out and read(config) == before


def test_what_the_user_wrote_around_it_stays(home, config):
    put(home, config, b"Host a\n")
    home.run("ssh-config", "--install")
    with open(config, "rb+") as file:
        inside = file.read()
        file.seek(0)
        file.write(b"# mine, above\n" + inside + b"# mine, below\n")
    assert home.run("ssh-config", "--uninstall").status == 0
    assert read(config) == b"# mine, above\nHost a\n# mine, below\n"


def test_there_was_no_file(home, config):
    assert home.run("ssh-config", "--install").status == 0
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(config)).st_mode) == 0o700
    assert home.run("ssh-config", "--uninstall").status == 0
    assert not os.path.exists(config)


def test_there_was_no_file_and_now_there_is_more(home, config):
    home.run("ssh-config", "--install")
    with open(config, "ab") as file:
        file.write(b"Host new\n")
    home.run("ssh-config", "--uninstall")
    assert read(config) == b"Host new\n"


def test_a_link_stays_a_link(home, config):
    real = home.path + "/dotfiles/ssh"
    put(home, real, b"Host a\n")
    os.makedirs(os.path.dirname(config))
    os.symlink(real, config)
    home.own(home.path + "/.ssh")
    home.run("ssh-config", "--install")
    assert os.path.islink(config) and b"Include" in read(real)
    home.run("ssh-config", "--uninstall")
    assert os.path.islink(config) and read(real) == b"Host a\n"


def test_what_cannot_be(home, config):
    r = home.run("ssh-config", "--install", "--uninstall")
    assert r.status == 2 and "not both" in r.err
    os.makedirs(config)
    home.own(home.path + "/.ssh")
    r = home.run("ssh-config", "--install")
    assert r.status == 1 and f"{config} is not a file" in r.err
    os.rmdir(config)
    if home.uid is not None:
        os.chown(home.path + "/.ssh", 0, 0)
        r = home.run("ssh-config", "--install")
        assert r.status == 1 and f"write {config}" in r.err and "Permission denied" in r.err


def test_a_daemon_that_says_nothing_of_keys(home, fake):
    fake.on("GET", "/v1/daemon", daemon(ssh=None))
    r = home.run("ssh-config", "--install")
    assert r.status == 1 and not os.path.exists(home.path + "/.ssh/config")


def test_ssh_understands(home, config, fake):
    if not os.access("/usr/bin/ssh", os.X_OK):
        pytest.skip("openssh-client is not installed")
    fake.on("GET", "/v1/daemon", daemon(ssh={"key": "/a b/100%/key", "known_hosts": "/k%h/known"}))
    put(home, config, b"Host other\n\tPort 2200\n" + FOR_ALL_HOSTS)
    assert home.run("ssh-config", "--install").status == 0

    os.chown(home.path + "/.config/banger/ssh/config", os.geteuid(), os.getegid())

    def seen(host):
        # -F: the test's own user has another home
        r = subprocess.run(["/usr/bin/ssh", "-F", config, "-G", host], capture_output=True,
                           text=True, check=True)
        return r.stdout.splitlines()

    lines = seen("web.vm")
    for line in ("user root", "hostname web.vm", "identitiesonly yes", "stricthostkeychecking true",
                 "proxyusefdpass yes", "userknownhostsfile /k%%h/known",
                 f"proxycommand '{home.banger}' ssh-proxy %h %p"):
        assert line in lines or line.replace("%%", "%") in lines, line
    assert any(line.startswith("identityfile /a b/100%") for line in lines)
    assert set(REACHED) <= set(lines) and "hostkeyalias x" in lines
    assert "user somebody" in seen("other") and "port 2200" in seen("other")


def test_a_key_for_any_name(home, config):
    """Under a HostKeyAlias of Host * ssh looks for that name: the key is found by the one that was typed."""
    put(home, home.path + "/.config/banger/ssh/known_hosts", b"a,a.vm ssh-ed25519 AAAA\nweb,web.vm ssh-ed25519 BBBB\n")
    assert home.run("ssh-known-hosts", "web.vm").out == "* ssh-ed25519 BBBB\n"
    r = home.run("ssh-known-hosts", "eb.vm")
    assert r.status == 0 and r.out == ""


# ---- ssh-proxy ----

def proxy(home, *args):
    """Runs it as ssh does; returns (socket passed or None, Result-like)."""
    ours, theirs = socket.socketpair()
    process = home.start("ssh-proxy", *args, stdout=theirs, stderr=subprocess.PIPE, text=True)
    theirs.close()
    _, err = process.communicate(timeout=60)
    fds = array.array("i")
    with ours:
        _, control, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    for _, _, data in control:
        fds.frombytes(data)
    return socket.socket(fileno=fds[0]) if fds else None, process.returncode, err


def test_the_connection_is_handed_over(home, fake):
    with socket.create_server(("127.0.0.1", 0)) as guest:
        fake.on("GET", "/v1/vms/web", running("web", address="127.0.0.1"))
        passed, status, err = proxy(home, "web.vm", str(guest.getsockname()[1]))
        assert status == 0 and err == "" and passed.getblocking()
        conn, _ = guest.accept()
        with conn, passed:
            echo = threading.Thread(target=lambda: conn.sendall(conn.recv(64)), daemon=True)
            echo.start()
            passed.sendall(b"hello")
            assert passed.recv(64) == b"hello"
            echo.join()


@pytest.mark.parametrize("record,status,message", [
    (vm("web"), 4, "`banger vm start web`"),
    (running("web", ready=False), 6, "is not ready yet"),
    (running("web", address="127.0.0.1"), 1, "connect to VM \"web\" at 127.0.0.1, port 1:")])
def test_why_there_is_no_connection(home, fake, record, status, message):
    fake.on("GET", "/v1/vms/web", record)
    passed, got, err = proxy(home, "web.vm", "1")
    assert passed is None and got == status and message in err


def test_it_starts_nothing(home):
    passed, status, err = proxy(home, "web.vm", "22")
    assert passed is None and status == 7 and "the daemon is not running" in err
    assert not os.path.exists(home.socket)


@pytest.mark.parametrize("host,port", [("Web.vm", "22"), ("web.vm", "0"), ("web.vm", "99999"),
                                       (".vm", "22"), ("a" * 300, "22")])
def test_odd_words(home, fake, host, port):
    passed, status, _ = proxy(home, host, port)
    assert passed is None and status in (2, 3)


def test_by_hand_it_says_what_it_is_for(home, fake):
    with socket.create_server(("127.0.0.1", 0)) as guest:
        fake.on("GET", "/v1/vms/web", running("web", address="127.0.0.1"))
        r = home.run("ssh-proxy", "web.vm", str(guest.getsockname()[1]))
    assert r.status == 2 and "for ssh to call" in r.err
