# SPDX-License-Identifier: ISC
"""vm workspace pull and diff: what comes home from a guest, and that nothing else in the checkout changes by it."""
import json
import os
import shutil
import subprocess

import pytest

from checkout import Checkout, Guest, fingerprint, run_as


@pytest.fixture
def checkout(home):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    checkout = Checkout(home)
    checkout.write("a", "1\n")
    checkout.write("b", "1\n")
    checkout.commit("before")
    checkout.write("a", "2\n")
    checkout.commit("base")
    return checkout


@pytest.fixture
def guest(home, fake, checkout):
    guest = Guest(home, fake)
    assert guest.prepare(checkout.path).status == 0
    return guest


def pull(guest, checkout, *flags, path=None):
    return guest.home.run("vm", "workspace", "pull", "web", path or checkout.path, "--guest-path", guest.path, *flags)


def diff(guest, *args):
    return guest.home.run("vm", "workspace", "diff", "web", *args, "--guest-path", guest.path)


def commit(guest, name, text, message):
    guest.write(name, text)
    guest.git("add", "-A")
    guest.git("commit", "-qm", message)
    return guest.git("rev-parse", "HEAD").strip()


def new_files(before, after):
    """What of a checkout is new; everything else must be as it was, to the byte and the time of writing."""
    for path, what in before[0].items():
        assert after[0].get(path) == what, path
    for path, when in before[1].items():
        if not os.path.isdir(path):
            assert after[1][path] == when, path
    return {p for p in after[0] if p not in before[0]}


def pulled(guest, checkout, *flags):
    before = checkout.fingerprint()
    r = pull(guest, checkout, "--json", *flags)
    assert r.status == 0 and r.err == "", r
    for path in new_files(before, checkout.fingerprint()):
        assert path.startswith((".git/objects/pack", ".git/refs/heads/banger", ".git/logs")), path
    return json.loads(r.out)


def test_commits_come_home(guest, checkout):
    checkout.write("a", "not committed\n")
    checkout.write("staged", "s\n")
    checkout.git("add", "staged")
    commit(guest, "c", "1\n", "one")
    head = commit(guest, "d/e", "2\n", "two")
    record = pulled(guest, checkout)
    assert record == {"name": "web", "branch": "banger/web", "head": head, "commits": 2}
    assert checkout.git("log", "--format=%s", "banger/web") == "two\none\nbase\nbefore\n"
    assert checkout.git("status", "--porcelain") == " M a\nA  staged\n"
    assert checkout.git("fsck", "--no-dangling") == ""
    assert checkout.git("for-each-ref", "--format=%(refname)") == "refs/heads/banger/web\nrefs/heads/main\n"


def test_again_and_with_more(guest, checkout):
    commit(guest, "c", "1\n", "one")
    pulled(guest, checkout)
    before = checkout.fingerprint()
    assert pull(guest, checkout).status == 0
    assert checkout.fingerprint()[0] == before[0]
    head = commit(guest, "c", "2\n", "two")
    run_as(guest.home, "git", "pack-refs", "--all", cwd=checkout.path)
    r = pull(guest, checkout)
    assert r.status == 0 and r.out == f"web: 2 commits in branch banger/web, at {head[:12]}\n", r


def test_nothing_to_bring(guest, checkout):
    before = checkout.fingerprint()
    r = pull(guest, checkout)
    assert r.status == 0 and r.out == "web has no commits of its own\n"
    guest.write("a", "work\n")
    assert pull(guest, checkout, "--json").status == 0
    assert checkout.fingerprint() == before


def test_after_the_host_went_on(guest, checkout):
    """The guest's commit builds upon the first that was brought, which is not the last."""
    checkout.write("b", "2\n")
    checkout.commit("host")
    assert guest.prepare(checkout.path).status == 0
    head = commit(guest, "c", "1\n", "guest")
    assert pulled(guest, checkout)["head"] == head
    assert checkout.git("log", "--format=%s", "banger/web") == "guest\nhost\nbase\nbefore\n"


def test_before_the_first_commit_of_the_host(home, fake):
    checkout, guest = Checkout(home, "fresh"), Guest(home, fake)
    checkout.write("a")
    checkout.git("add", "a")
    assert guest.prepare(checkout.path).status == 0
    commit(guest, "b", "1\n", "first")
    assert pulled(guest, checkout)["commits"] == 1
    assert checkout.git("log", "--format=%s", "banger/web") == "first\n"


def test_from_a_full_copy(home, fake, checkout):
    guest = Guest(home, fake)
    assert guest.prepare(checkout.path, "--mode", "full_copy").status == 0
    commit(guest, "c", "1\n", "one")
    assert pulled(guest, checkout)["commits"] == 1


def test_a_branch_with_other_commits_is_kept(guest, checkout):
    checkout.git("branch", "banger/web")
    commit(guest, "c", "1\n", "one")
    pulled_record = pull(guest, checkout)
    assert pulled_record.status == 0, "it only grows"
    checkout.git("switch", "-q", "banger/web")
    checkout.write("mine", "1\n")
    mine = checkout.commit("mine")
    checkout.git("switch", "-q", "main")
    commit(guest, "c", "2\n", "two")
    before = checkout.fingerprint()
    r = pull(guest, checkout)
    assert r.status == 4 and "has commits that web does not have" in r.err and "git branch -m" in r.err
    assert checkout.fingerprint() == before
    assert pull(guest, checkout, "--force").status == 0
    assert checkout.git("rev-parse", "banger/web").strip() != mine


def test_a_branch_that_is_checked_out_is_not_moved(guest, checkout):
    checkout.git("switch", "-qc", "banger/web")
    commit(guest, "c", "1\n", "one")
    before = checkout.fingerprint()
    r = pull(guest, checkout)
    assert r.status == 1 and "banger/web" in r.err and r.err.count("banger: ") == 1, r
    assert {k: v for k, v in checkout.fingerprint()[0].items() if "/objects/" not in k} == {
        k: v for k, v in before[0].items() if "/objects/" not in k}


def test_another_repository_is_refused(guest, checkout, home):
    other = Checkout(home, "other")
    other.write("o")
    other.commit()
    commit(guest, "c", "1\n", "one")
    before = other.fingerprint()
    r = pull(guest, other)
    assert r.status == 1 and "is not of this repository" in r.err
    assert other.fingerprint() == before
    r = diff(guest, other.path)
    assert r.status == 4 and f"is the copy of {checkout.path}" in r.err


def test_hooks_and_programs_of_the_checkout_do_not_run(guest, checkout, home):
    trap = home.program("trap", '#!/bin/sh\necho "$0" >>"$HOME/trapped"\n')
    for name in ("reference-transaction", "post-update", "pre-auto-gc", "post-checkout", "post-merge"):
        shutil.copy(trap, checkout.path + "/.git/hooks/" + name)
    checkout.git("config", "core.fsmonitor", trap)
    checkout.git("config", "fetch.recurseSubmodules", "true")
    checkout.git("config", "fetch.prune", "true")
    home.own(home.path)
    run_as(home, "git", "branch", "falls-into-it", cwd=checkout.path)
    os.unlink(home.path + "/trapped")
    commit(guest, "c", "1\n", "one")
    pulled(guest, checkout)
    assert not os.path.exists(home.path + "/trapped")


def hostile_commit(guest, home, kind):
    """A commit with what a client must not take: made by hand, git refuses to."""
    if kind == ".gitmodules":
        guest.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch${IFS}/tmp/x\n')
        guest.git("add", "-A")
        guest.git("commit", "-qm", "modules")
        return
    blob = guest.git("rev-parse", "HEAD:a").strip()
    name = {"dot git": b".git", "parent": b"..", "slash": b"x/y"}[kind]
    tree = b"100644 " + name + b"\0" + bytes.fromhex(blob)
    who = {} if home.uid is None else {"user": home.uid, "group": home.uid, "extra_groups": []}
    oid = subprocess.run(["git", "hash-object", "--literally", "-t", "tree", "-w", "--stdin"], input=tree, cwd=guest.path,
                         env=home.env, check=True, capture_output=True, **who).stdout.decode().strip()
    new = guest.git("commit-tree", oid, "-p", "HEAD", "-m", "x").strip()
    guest.git("update-ref", "HEAD", new)


@pytest.mark.parametrize("kind", ["dot git", "parent", "slash", ".gitmodules"])
def test_hostile_objects_are_refused(guest, checkout, home, kind):
    hostile_commit(guest, home, kind)
    before = checkout.fingerprint()
    r = pull(guest, checkout)
    assert r.status == 1 and "what web sent" in r.err and r.err.count("banger: ") == 1, r
    assert checkout.fingerprint() == before
    assert os.listdir(home.path + "/.cache/banger") == ["copies"]


@pytest.mark.parametrize("sent", ["", "not a pack", "PACK", "cut"])
def test_a_pack_that_is_none(guest, checkout, sent):
    commit(guest, "c", os.urandom(3000).hex(), "one")
    plain = guest.agent.change

    def change(body):
        if "pack-objects" not in body["argv"][2]:
            return plain(body)
        return ["/bin/sh", "-c", '"$@" | head -c 900', "sh", *body["argv"]] if sent == "cut" else ["printf", sent]
    guest.agent.change = change
    before = checkout.fingerprint()
    r = pull(guest, checkout)
    assert r.status == 1 and "what web sent" in r.err, r
    assert checkout.fingerprint() == before


def test_diff_is_what_the_guest_did(guest, checkout, home):
    r = diff(guest)
    assert r.status == 0 and r.out == "" and "has no changes of its own" in r.err
    checkout.write("b", "of the host, not committed\n")
    assert guest.prepare(checkout.path).status == 0
    assert diff(guest).out == ""
    guest.write("a", "3\n")
    commit(guest, "c", "committed\n", "one")
    guest.write("new\nfile", "untracked\n")
    guest.write("bin", "\0\1")
    os.unlink(guest.path + "/a")
    before, status = fingerprint(checkout.path), guest.git("status", "--porcelain")
    r = diff(guest, checkout.path)
    assert r.status == 0 and "not committed" not in r.out and "+committed" in r.out and "+untracked" in r.out
    assert "deleted file" in r.out and "GIT binary patch" in r.out and r.err == ""
    assert fingerprint(checkout.path) == before and guest.git("status", "--porcelain") == status
    run_as(home, "git", "apply", "-", stdin=r.out, cwd=checkout.path)
    with open(checkout.path + "/new\nfile", encoding="utf-8") as f:
        assert f.read() == "untracked\n"
    assert not os.path.exists(checkout.path + "/a")


def test_diff_on_a_terminal_is_tame(guest, home):
    guest.write("a", "\x1b]0;title\x07\x1b[2Jred\n")
    r = home.on_terminal("vm", "workspace", "diff", "web", "--guest-path", guest.path)
    assert r.status == 0 and "red" in r.out and "title" not in r.out and "\x1b[2J" not in r.out
    assert "\x1b[32m+" in r.out
    r = home.on_terminal("vm", "workspace", "diff", "web", "--guest-path", guest.path, env={"NO_COLOR": "1"})
    assert "\x1b[32m" not in r.out and "+red" in r.out


@pytest.mark.parametrize("command", ["pull", "diff"])
def test_why_it_cannot_be(home, fake, checkout, command):
    guest = Guest(home, fake)
    args = ["vm", "workspace", command, "web", checkout.path, "--guest-path", guest.path]
    r = home.run(*args)
    assert r.status == 1 and "was not made by `vm run`" in r.err and "workspace prepare web" in r.err
    assert guest.prepare(checkout.path).status == 0
    os.makedirs(home.path + "/guest-bin")
    for tool in ("sh", "ls", "head", "cat"):
        os.symlink(shutil.which(tool), home.path + "/guest-bin/" + tool)
    guest.with_path(home.path + "/guest-bin")
    r = home.run(*args)
    assert r.status == 1 and "there is no git in web" in r.err and "install" in r.err
