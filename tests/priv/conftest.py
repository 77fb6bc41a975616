# SPDX-License-Identifier: ISC
"""Shared by the tests against the installed helper. What is missing skips with its reason."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import privclient  # noqa: E402
from hostuser import HostUser, is_root  # noqa: E402
from privclient import HELPER, Helper  # noqa: E402

LEDGER = "/var/lib/banger/net.ledger"
CONF = "/etc/banger/privhelper.conf"


def missing():
    if not is_root():
        return "needs root: it makes users and looks at their taps"
    if not os.path.exists(HELPER):
        return f"{HELPER} is not installed: run scripts/install-helper"
    if not os.environ.get("BANGER_PRIV_HASH"):
        return "BANGER_PRIV_HASH does not name the built priv_hash: run scripts/check python"
    if not os.path.exists("/dev/net/tun"):
        return "this machine has no /dev/net/tun"
    return None


def pytest_collection_modifyitems(items):
    reason = missing()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    """What of the helper's refusals the run saw; tests/priv/test_refusals.py asks for all."""
    seen = sorted(privclient.CODES_SEEN - {privclient.OK})
    terminalreporter.write_line(f"refusal codes of the network helper seen: {' '.join(map(str, seen))}")


def ip(*args):
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout


def rows(index):
    """{slot: 64 bytes} of the rows in use."""
    with open(LEDGER, "rb") as f:
        f.seek(index * 8192 + 4096)
        data = f.read(4096)
    return {s: data[s * 64:s * 64 + 64] for s in range(64) if any(data[s * 64:s * 64 + 64])}


def poke(index, slot, data, at=0):
    """Writes into a row as a damaged disk would."""
    with open(LEDGER, "r+b") as f:
        f.seek(index * 8192 + 4096 + slot * 64 + at)
        f.write(data)


def indexes(uid):
    """The blocks that name a uid: one at most, or the ledger is broken."""
    with open(LEDGER, "rb") as f:
        data = f.read()
    return [i for i in range(256) if data[i * 8192:i * 8192 + 4] == b"BGU1"
            and int.from_bytes(data[i * 8192 + 4:i * 8192 + 8], "little") == uid]


def forget(uid):
    """Takes a user that has nothing out of the ledger, so that tests leave it as they found it."""
    with open(LEDGER, "r+b") as f:
        for i in indexes(uid):
            assert not rows(i)
            f.seek(i * 8192)
            f.write(bytes(64))


def others_at_work(*users):
    """Who else has slots in use, as a sentence; or nothing."""
    with open(LEDGER, "rb") as f:
        data = f.read()
    for i in range(256):
        uid = int.from_bytes(data[i * 8192 + 4:i * 8192 + 8], "little")
        if rows(i) and uid not in [u.uid for u in users]:
            return f"uid {uid} has slots in use"
    return None


def nobody_else_at_work(*users):
    """Skips a test that changes what every user's helper reads, while somebody's VMs have slots."""
    if others := others_at_work(*users):
        pytest.skip(f"{others}, and this test changes the configuration or ledger of all")


def links(index):
    names = [line.split(": ")[1] for line in ip("-o", "link").splitlines()]
    return sorted(n for n in names if n.startswith(f"bgr{index}-"))


def nft_tables():
    return subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout.splitlines()


class Traces:
    """What the machine holds of one user: for comparing before and after."""

    def __init__(self, index):
        self.links = links(index)
        self.rows = sorted(rows(index))
        # the kernel sets linkdown some time after the fact
        self.routes = [r.replace(" linkdown", "").rstrip() for r in ip("route", "show", "table", "all").splitlines() if f"bgr{index}-" in r or f"10.209.{index}.0/24" in r]
        self.tables = sorted(t.split()[2] for t in nft_tables() if t.split()[2] in (f"banger-{index}", f"banger-fence-{index}", f"banger-names-{index}"))
        self.addresses = [a for a in ip("-o", "addr").splitlines() if f"bgr{index}-" in a]

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return repr(vars(self))

    def empty(self):
        return not (self.tables or self.links or self.rows or self.routes or self.addresses)


@pytest.fixture(scope="session")
def alice():
    with HostUser("bgt-alice", ["banger"]) as user:
        yield user
        leave_nothing(user)
        forget(user.uid)


@pytest.fixture(scope="session")
def bob():
    with HostUser("bgt-bob", ["banger"]) as user:
        yield user
        leave_nothing(user)
        forget(user.uid)


@pytest.fixture(scope="session")
def mallory():
    """An ordinary user of the machine who is not in the group."""
    with HostUser("bgt-mallory") as user:
        yield user


@pytest.fixture(scope="session", autouse=True)
def silent(request):
    """A helper whose peer says nothing, from the first test on: test_silence asks in the end what became of it."""
    if not any(item.name == "test_silence" for item in request.session.items):
        yield None
        return
    with HostUser("bgt-silent", ["banger"]) as user, Helper(user) as helper:
        yield helper


def leave_nothing(user):
    with Helper(user) as h:
        h.hello()
        h.cleanup()


@pytest.fixture
def index(alice):
    """Alice's index, with nothing of hers on the machine before or after."""
    with Helper(alice) as h:
        i = h.hello()["index"]
        h.cleanup()
    assert Traces(i).empty()
    yield i
    leave_nothing(alice)
    assert Traces(i).empty()


@pytest.fixture
def alone(alice, bob):
    """For tests that touch the configuration or the whole ledger."""
    nobody_else_at_work(alice, bob)


@pytest.fixture
def conf(alone):
    """Replaces the administrator's configuration for one test: conf(text)."""
    with open(CONF, "rb") as f:
        old, mode = f.read(), os.stat(CONF).st_mode & 0o7777

    def write(text):
        with open(CONF, "w") as f:
            f.write(text)

    yield write
    with open(CONF, "wb") as f:
        f.write(old)
    os.chmod(CONF, mode)
