# SPDX-License-Identifier: ISC
"""Faults of their own kind, over the real daemon: rows that make no sense although their sums are right, and exports that meet or are killed."""
import glob
import json
import os
import signal
import sqlite3
import subprocess
import zlib

import pytest

from conftest import Host, wait_for
from playedhost import listed


@pytest.fixture
def host(user):
    h = Host(user)
    try:
        h.make_image()
        h.make_vm("a", "--no-start")
        yield h
    finally:
        h.kill()


def rewrite(host, change):
    """The row of VM a, with its right sum; and its revision is the record's."""
    [path] = glob.glob(host.state + "/banger.[0-9]*.db")
    db = sqlite3.connect(path)
    key, rev, text = db.execute("SELECT key, rev, text FROM row WHERE tab = 'vm'").fetchone()
    row = json.loads(text)
    row.update(change)
    text = json.dumps(row)
    crc = zlib.crc32(b"vm\0" + key.encode() + b"\0" + rev.to_bytes(8, "little") + text.encode())
    db.execute("UPDATE row SET text = ?, crc = ? WHERE tab = 'vm'", (text, crc))
    db.commit()
    db.close()
    return key


def test_a_row_is_read_as_it_was_written_by_the_test(host):
    host.banger("daemon", "stop")
    rewrite(host, {"vcpus": 3})
    assert host.facts().names()["vms"] == {"a": (3, True)}


@pytest.mark.parametrize("change", [{"state": 99}, {"state": "dancing"}, {"name": "../../x"}, {"vcpus": -3}, {"id": "x"}, {"pid": "many"}], ids=str)
def test_a_row_that_makes_no_sense_stops_nothing_and_deletes_nothing(host, change):
    host.banger("daemon", "stop")
    key = rewrite(host, change)
    files = set(listed(f"{host.state}/vms/{key}"))
    facts = host.facts()
    assert files and files <= set(listed(f"{host.state}/vms/{key}"))
    assert facts.unlisted() == [] and facts.names()["images"] == {"r"}
    assert [vm["id"] for vm in facts.vms] == [key] or facts.store["orphans"] or facts.store["notes"], facts.store
    pid = host.ask("/v1/daemon")[0]["pid"]
    host.make_vm("b", "--no-start")
    assert host.ask("/v1/daemon")[0]["pid"] == pid


def export(host, path):
    return host.user.popen([host.programs + "/cli/banger", "image", "export", "r", path], env=host.env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_exports_that_meet_give_one_whole_bundle_and_touch_no_other_file(host):
    folder = host.user.home + "/out"
    host.user.run(["sh", "-c", 'mkdir "$1"; echo mine >"$1/b.part"', "sh", folder], check=True)
    running = [export(host, folder + "/b") for _ in range(4)]
    ends = [(p.communicate(timeout=120)[1], p.returncode) for p in running]
    assert sorted(status for _, status in ends)[:2] == [0, 4] and all(err for err, status in ends if status), ends
    assert sorted(os.listdir(folder)) == ["b", "b.part"]
    with open(folder + "/b.part", encoding="ascii") as f:
        assert f.read() == "mine\n"
    host.banger("image", "import", folder + "/b", "--name", "i")


def test_an_export_whose_daemon_is_killed_leaves_nothing(host):
    folder = host.user.home + "/out"
    host.user.run(["mkdir", folder], check=True)
    for _ in range(3):
        host.banger("vm", "list")
        pid = host.ask("/v1/daemon")[0]["pid"]
        p = export(host, folder + "/b")
        wait_for(lambda: p.poll() is not None or any(op["state"] == "running" for op in host.ask("/v1/operations")[0]["operations"]))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _, err = p.communicate(timeout=120)
        host.banger("vm", "list")
        assert p.returncode == 0 or (err and listed(folder) in ([], ["b"])), (err, listed(folder))
        if listed(folder):  # it was done and not told: whole
            host.banger("image", "import", folder + "/b", "--name", "i")
            host.banger("image", "delete", "i")
            os.unlink(folder + "/b")
