# SPDX-License-Identifier: ISC
"""bangerd's own stubs (daemon/priv) against the installed helper: what works, and what each obstacle is called."""
import os
import shutil

import pytest

from conftest import LEDGER, Traces
from privclient import HELPER, HELPER_DIR

CALL = os.environ.get("BANGER_PRIV_CALL")


def call(user, *args, helper=HELPER, wrap=()):
    p = user.run([*wrap, CALL, helper, *args], capture_output=True, text=True)
    return p.returncode, p.stdout.splitlines()


def refusal(user, *args, **kw):
    status, lines = call(user, *args, **kw)
    assert status == 1
    return lines[-1].split("|")


def test_calls(alice, index):
    status, lines = call(alice, "attach", "2", "attach", "2", "list", "detach", "2", "detach", "2", "attach", "3",
                         "cleanup", "list")
    tap = f"bgr{index}-2 10.209.{index}.4 10.209.{index}.1 02:62:67:00:{index:02x}:02"
    assert lines == [f"index {index} slots 64 gateway 10.209.{index}.1", tap + " 1", tap + " 0", "4", "1", "0",
                     f"bgr{index}-3 10.209.{index}.5 10.209.{index}.1 02:62:67:00:{index:02x}:03 1", "8", "0"]
    assert status == 0
    assert Traces(index).empty()


def test_missing(alice):
    code, message, hint = refusal(alice, helper=HELPER + "-that-is-not-there")
    assert code == "helper.missing" and HELPER in message and "install-helper" in hint


def test_not_a_member(mallory):
    code, message, hint = refusal(mallory)
    assert code == "helper.not_a_member"
    assert mallory.name in message and "group banger" in message
    assert f"usermod -aG banger {mallory.name}" in hint


def test_not_a_member_though_it_runs(mallory):
    os.chmod(HELPER_DIR, 0o755)
    try:
        assert refusal(mallory)[0] == "helper.not_a_member"
    finally:
        os.chmod(HELPER_DIR, 0o750)


def test_no_capability(alice):
    path = "/usr/local/bin/bgt-bare-helper"
    shutil.copy(HELPER, path)
    os.chmod(path, 0o755)
    try:
        code, _, hint = refusal(alice, helper=path)
        assert code == "helper.no_capability" and "install-helper" in hint
    finally:
        os.unlink(path)


def test_no_new_privs(alice):
    assert refusal(alice, wrap=["/usr/bin/setpriv", "--no-new-privs"])[0] == "helper.no_capability"


def test_limit(alice, index, conf):
    conf("slots_per_user = 1\n")
    code, message, hint = refusal(alice, "attach", "1")
    assert code == "helper.no_free_slot" and "net_attach" in message and "slots_per_user" in hint


def test_bad_configuration(alice, conf):
    conf("pool = 10.0.0.0/8\n")
    code, message, hint = refusal(alice)
    assert code == "helper.refused" and "configuration" in message and "privhelper.conf" in hint


def test_bad_ledger(alice, alone):
    os.chmod(LEDGER, 0o666)
    try:
        code, message, _ = refusal(alice)
        assert code == "helper.refused" and "ledger" in message
    finally:
        os.chmod(LEDGER, 0o660)


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_tun_device(alice, index, alone, mode):
    """Closed to users: an error that says so."""
    old = os.stat("/dev/net/tun").st_mode & 0o7777
    os.chmod("/dev/net/tun", mode)
    try:
        if mode == 0o666:
            assert call(alice, "attach", "0")[0] == 0
        else:
            code, message, hint = refusal(alice, "attach", "0")
            assert code == "helper.refused" and "tun" in message and "/dev/net/tun" in hint
            assert Traces(index).empty()
    finally:
        os.chmod("/dev/net/tun", old)
