# SPDX-License-Identifier: ISC
"""vm workspace prepare: real git checkouts, real scripts; the guest is a folder of this machine."""
import json
import os
import shutil
import subprocess

import pytest

from checkout import Checkout, Guest, run_as, tree

ODD = ["-dash", "new\nline", "tab\there", "naïve/ünï", " blank ", "quo'te\"s", "back\\slash", "a*b?[c]", "-r/--force",
       "d" * 120 + "/" + "f" * 130]


@pytest.fixture
def guest(home, fake):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    return Guest(home, fake)


@pytest.fixture
def checkout(home):
    return Checkout(home)


def worktree(checkout):
    return {k: v for k, v in tree(checkout.path, {".git"}).items() if v[0] != "dir"}


def sync(guest, checkout, *flags):
    before = checkout.fingerprint()
    r = guest.prepare(checkout.path, "--json", *flags)
    assert r.status == 0, r
    assert checkout.fingerprint() == before, "the checkout was touched"
    return json.loads(r.out)


def refused(guest, checkout, text, *flags):
    before, there = checkout.fingerprint(), tree(guest.path)
    r = guest.prepare(checkout.path, *flags)
    assert r.status == 4 and text in r.err, r
    assert checkout.fingerprint() == before
    assert tree(guest.path) == there, "the guest was touched"
    return r


def test_work_tree_as_it_is(guest, checkout):
    for name in ODD:
        checkout.write(name, name)
    checkout.write("bin", bytes(range(256)) * 999)
    checkout.write("run", "#!/bin/sh\n", 0o755)
    checkout.write("gone", "1\n")
    checkout.write("changed", "1\n")
    checkout.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 9\n" % ("0" * 64))
    os.symlink("no/where\nat all", checkout.path + "/link")
    checkout.home.own(checkout.path)
    head = checkout.commit()
    os.unlink(checkout.path + "/gone")
    checkout.write("changed", "2\n", 0o755)
    checkout.write("added", "3\n")
    checkout.git("add", "added")
    checkout.write("untracked", "4\n")
    record = sync(guest, checkout)
    expected = worktree(checkout)
    del expected["untracked"]
    assert guest.files() == expected
    assert record["head"] == head and record["git"] and len(record["sent"]) == len(expected)
    assert guest.git("status", "--porcelain", "-z") == "A  added\0 M changed\0 D gone\0"
    assert guest.git("rev-parse", "HEAD").strip() == head
    assert guest.git("symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert guest.git("fsck", "--strict") == ""
    assert guest.git("log", "--format=%an %s") == "A c\n"


def test_only_what_changed_travels(guest, checkout):
    for i in range(200):
        checkout.write(f"d{i % 7}/f{i}", f"{i}\n")
    checkout.commit()
    assert len(sync(guest, checkout)["sent"]) == 200
    checkout.write("d1/f1", "new\n")
    checkout.write("d2/f2", "2\n")  # the same again, at another time
    os.unlink(checkout.path + "/d3/f3")
    os.chmod(checkout.path + "/d4/f4", 0o755)
    shutil.rmtree(checkout.path + "/d5")
    record = sync(guest, checkout)
    assert record["sent"] == ["d1/f1", "d4/f4"]
    assert len(record["deleted"]) == 30 - 1 and "d3/f3" in record["deleted"]
    assert guest.files() == worktree(checkout)
    assert not guest.has("d5"), "an empty folder stayed"
    again = sync(guest, checkout)
    assert again["sent"] == again["deleted"] == [] and again["unchanged"] == 200 - 29


def test_nothing_to_do_is_one_look(guest, checkout):
    checkout.write("a")
    checkout.commit()
    sync(guest, checkout)
    os.utime(checkout.path + "/a", (1, 1))
    sync(guest, checkout)
    subprocess.run(["sync", checkout.path + "/a"], check=True)
    deadline = 50
    while True:  # a file that was written a moment ago is looked at again
        before = guest.calls()
        record = sync(guest, checkout)
        assert record["sent"] == []
        if guest.calls() == before + 1:
            break
        deadline -= 1
        assert deadline > 0
    r = guest.prepare(checkout.path)
    assert "is up to date, 1 files" in r.out


def test_files_and_folders_change_places(guest, checkout):
    checkout.write("a/b", "1")
    checkout.write("c", "2")
    checkout.write("e/f", "3")
    checkout.commit()
    sync(guest, checkout)
    shutil.rmtree(checkout.path + "/a")
    os.unlink(checkout.path + "/c")
    shutil.rmtree(checkout.path + "/e")
    checkout.write("a", "now a file")
    checkout.write("c/d", "now a folder")
    os.symlink("c", checkout.path + "/e")
    checkout.home.own(checkout.path)
    checkout.git("add", "-A")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout)


def test_a_folder_that_became_a_link_leads_nowhere(guest, checkout, home):
    checkout.write("d/secret", "tracked")
    checkout.commit()
    shutil.rmtree(checkout.path + "/d")
    os.makedirs(home.path + "/outside")
    with open(home.path + "/outside/secret", "w", encoding="utf-8") as f:
        f.write("not of this checkout")
    os.symlink(home.path + "/outside", checkout.path + "/d")
    home.own(home.path)
    assert sync(guest, checkout)["sent"] == []
    assert guest.files() == {}


def test_untracked_when_asked(guest, checkout):
    checkout.write(".gitignore", "*.o\n")
    checkout.write("a")
    checkout.commit()
    checkout.write("new", "n")
    checkout.write("x.o", "o")
    checkout.write("inner/README", "a checkout in the checkout")
    checkout.git("init", "-q", "inner")
    record = sync(guest, checkout, "--include-untracked")
    assert record["sent"] == [".gitignore", "a", "new"] and record["others_left_out"] == 1
    assert guest.git("status", "--porcelain") == "?? new\n"
    # without the flag it is left alone; deleted here it goes away there
    assert sync(guest, checkout)["deleted"] == [] and guest.has("new")
    os.unlink(checkout.path + "/new")
    assert sync(guest, checkout)["deleted"] == ["new"] and not guest.has("new")


def test_dry_run_asks_nobody(guest, checkout, fake, home):
    checkout.write("a b")
    checkout.write("new\nline")
    checkout.commit()
    checkout.write("later")
    before = checkout.fingerprint()
    r = guest.prepare(checkout.path, "--dry-run")
    assert r.status == 0 and r.out == 'a b\n"new\\nline"\n' and r.err == ""
    r = guest.prepare(checkout.path, "--dry-run", "--include-untracked", "--json")
    assert json.loads(r.out)["files"] == ["a b", "later", '"new\\nline"']
    assert checkout.fingerprint() == before and fake.requests == [] and guest.calls() == 0
    assert not os.path.exists(guest.path) and not os.path.exists(home.path + "/.cache/banger")


def trapped(home):
    """The trap works: git's own status falls into it."""
    run_as(home, "git", "status", cwd=home.path + "/site")
    os.unlink(home.path + "/trapped")


def test_nothing_of_the_users_is_run(guest, checkout, home):
    trap = home.program("trap", '#!/bin/sh\necho "$0 $*" >>"$HOME/trapped"\ncat\n')
    checkout.write(".gitattributes", "*.x filter=trap diff=trap\n*.txt text eol=crlf\n")
    checkout.write("a.x", "1\n")
    checkout.write("dos.txt", "1\r\n2\r\n")
    checkout.commit()
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.external",
                "diff.trap.textconv", "core.sshCommand", "core.pager", "uploadpack.packObjectsHook"):
        checkout.git("config", key, trap)
    for name in ("reference-transaction", "post-index-change", "pre-auto-gc", "post-checkout"):
        shutil.copy(trap, checkout.path + "/.git/hooks/" + name)
    home.own(home.path)
    checkout.write("a.x", "2\n")
    checkout.write("dos.txt", "1\r\n2\r\n3\r\n")
    trapped(home)
    sync(guest, checkout)
    assert not os.path.exists(home.path + "/trapped")
    assert guest.files() == worktree(checkout)
    # the filter goes along as a setting of the guest's, which runs it there
    assert guest.git("-c", "filter.trap.process=", "-c", "filter.trap.required=false", "status", "--porcelain") == " M a.x\n M dos.txt\n"


def test_settings_of_the_callers_environment_do_not_lead_astray(guest, checkout, home):
    other = Checkout(home, "other")
    other.write("wrong")
    other.commit()
    checkout.write("right")
    checkout.commit()
    home.env.update(GIT_DIR=other.path + "/.git", GIT_INDEX_FILE="/nonexistent", GIT_WORK_TREE=other.path)
    r = guest.prepare(checkout.path + "/.", "--dry-run")
    assert r.out == "right\n", r


def test_changes_in_the_guest_stay(guest, checkout):
    for name in "abcd":
        checkout.write(name, "1\n")
    checkout.commit()
    sync(guest, checkout)
    guest.write("a", "of the guest\n")
    guest.write("new", "of the guest\n")
    os.unlink(guest.path + "/b")
    checkout.write("c", "of the host\n")
    sync(guest, checkout)
    assert guest.read("a") == guest.read("new") == "of the guest\n" and not guest.has("b")
    assert guest.read("c") == "of the host\n"


def test_both_changed_is_refused_until_forced(guest, checkout):
    for name in ("a", "b", "c", "d", "e"):
        checkout.write(name, "1\n")
    checkout.commit()
    sync(guest, checkout)
    guest.write("a", "guest\n")
    guest.write("b", "guest\n")
    guest.write("n", "guest\n")
    guest.write("same", "same\n")
    os.unlink(guest.path + "/c")
    os.makedirs(guest.path + "/c/x")
    guest.home.own(guest.path)
    checkout.write("a", "host\n")
    os.unlink(checkout.path + "/b")
    checkout.write("c", "host\n")
    checkout.write("d", "host\n")
    checkout.write("n", "host\n")
    checkout.write("same", "same\n")
    checkout.git("add", "n", "same")
    r = refused(guest, checkout, "as well as here: a, c, n, b\n")
    assert "--force" in r.err and guest.read("d") == "1\n"
    sync(guest, checkout, "--force")
    assert guest.files() == worktree(checkout)


def test_a_folder_that_banger_did_not_make(guest, checkout):
    os.makedirs(guest.path)
    guest.home.own(guest.path)
    guest.write("a", "1\n")
    guest.write("mine", "2\n")
    checkout.write("a", "1\n")
    checkout.commit()
    sync(guest, checkout)
    assert guest.read("mine") == "2\n" and guest.git("status", "--porcelain") == "?? mine\n"


def test_commits_of_the_host_travel_and_those_of_the_guest_stay(guest, checkout):
    checkout.write("a", "1\n")
    checkout.commit("one")
    sync(guest, checkout)
    checkout.write("b", "1\n")
    two = checkout.commit("two")
    sync(guest, checkout)
    assert guest.git("rev-parse", "HEAD").strip() == two and guest.git("status", "--porcelain") == ""
    guest.write("a", "guest\n")
    guest.git("commit", "-qam", "theirs")
    theirs = guest.git("rev-parse", "HEAD")
    checkout.write("b", "2\n")
    sync(guest, checkout)  # files travel, git's state did not change here
    assert guest.git("rev-parse", "HEAD") == theirs and guest.read("b") == "2\n"
    three = checkout.commit("three")
    r = refused(guest, checkout, "has commits or staged changes of its own")
    assert "banger vm workspace pull" in r.err
    sync(guest, checkout, "--force")
    assert guest.git("rev-parse", "HEAD").strip() == three and guest.git("fsck", "--no-dangling") == ""
    assert guest.read("a") == "guest\n", "only the guest had changed it"


def test_second_pack_has_only_what_is_new(guest, checkout):
    checkout.write("big", os.urandom(1 << 20))
    checkout.commit()
    assert sync(guest, checkout)["bytes"] > 2 << 20
    checkout.write("small", "1\n")
    checkout.commit()
    assert sync(guest, checkout)["bytes"] < 4096
    assert guest.git("fsck", "--no-dangling") == ""


def test_branches_and_detached(guest, checkout):
    checkout.write("a", "1\n")
    one = checkout.commit()
    sync(guest, checkout)
    checkout.git("switch", "-qc", "topic/x")
    sync(guest, checkout)
    assert guest.git("symbolic-ref", "HEAD") == "refs/heads/topic/x\n"
    checkout.git("switch", "-q", "--detach", one)
    sync(guest, checkout)
    assert guest.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD\n" and guest.git("status", "--porcelain") == ""


def test_before_the_first_commit(guest, checkout):
    checkout.write("a", "staged\n")
    checkout.git("add", "a")
    checkout.write("a", "worked on\n")
    record = sync(guest, checkout)
    assert record["head"] is None
    assert guest.git("status", "--porcelain") == "AM a\n" and guest.git("show", ":a") == "staged\n"


def test_empty_repository(guest, checkout):
    assert sync(guest, checkout)["sent"] == []
    assert guest.git("status", "--porcelain") == ""


def test_merge_under_way(guest, checkout):
    checkout.write("a", "1\n")
    checkout.commit()
    checkout.git("switch", "-qc", "x")
    checkout.write("a", "x\n")
    checkout.commit()
    checkout.git("switch", "-q", "main")
    checkout.write("a", "main\n")
    checkout.commit()
    with pytest.raises(AssertionError):
        checkout.git("merge", "-q", "x")
    sync(guest, checkout)
    assert guest.git("status", "--porcelain") == "UU a\n" and "<<<<<<<" in guest.read("a")
    assert guest.git("show", ":3:a") == "x\n"


def test_sha256_repository(guest, home):
    checkout = Checkout(home, "new-hash")
    shutil.rmtree(checkout.path + "/.git")
    checkout.git("init", "-q", "--object-format=sha256", "-b", "main")
    checkout.git("config", "user.name", "A")
    checkout.git("config", "user.email", "a@b")
    checkout.write("a")
    checkout.commit()
    assert len(sync(guest, checkout)["head"]) == 64
    assert guest.git("status", "--porcelain") == "" and guest.git("fsck") == ""


def test_sparse_checkout(guest, checkout):
    checkout.write("in/a")
    checkout.write("out/b")
    checkout.commit()
    checkout.git("sparse-checkout", "set", "in")
    sync(guest, checkout)
    assert set(guest.files()) == {"in/a"} and guest.git("status", "--porcelain") == ""


def test_linked_work_tree_and_subfolder(guest, checkout, home):
    checkout.write("d/a", "1\n")
    checkout.commit()
    checkout.git("worktree", "add", "-q", "-b", "side", home.path + "/side")
    r = guest.prepare(home.path + "/side/d")
    assert r.status == 0, r
    assert guest.git("symbolic-ref", "HEAD") == "refs/heads/side\n" and guest.read("d/a") == "1\n"
    r = guest.prepare(home.path + "/side", "--mode", "full_copy", "--dry-run")
    assert r.status == 2 and "cannot be copied in full" in r.err


def with_submodule(checkout, home):
    lib = Checkout(home, "lib")
    lib.write("l", "lib\n")
    lib.commit()
    checkout.write("a", "1\n")
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib.path, "sub/lib")
    return checkout.commit()


def test_submodules_are_told_of(guest, checkout, home):
    with_submodule(checkout, home)
    r = guest.prepare(checkout.path)
    assert r.status == 0 and "1 submodule is left out; `--mode full_copy` brings them" in r.err
    assert os.listdir(guest.path + "/sub/lib") == [] and guest.git("status", "--porcelain") == ""


def test_full_copy(guest, checkout, home):
    with_submodule(checkout, home)
    checkout.write(".gitignore", "*.o\n")
    checkout.write("x.o", "ignored")
    checkout.commit("two")
    sync(guest, checkout, "--mode", "full_copy")
    assert {k: v for k, v in tree(guest.path).items() if v[0] != "dir"} == {
        k: v for k, v in tree(checkout.path).items() if v[0] != "dir"}
    assert guest.git("log", "--format=%s") == "two\nc\n" and guest.git("submodule", "status")[0] == " "
    checkout.write("a", "2\n")
    assert sync(guest, checkout, "--mode", "full_copy")["sent"] == ["a"]
    refused(guest, checkout, "the other --mode")
    sync(guest, checkout, "--force")
    assert guest.git("log", "--format=%s") == "two\n" and guest.git("fsck", "--no-dangling") == ""


def test_another_checkout_is_not_mixed_in(guest, checkout, home):
    other = Checkout(home, "other")
    other.write("o")
    other.commit()
    checkout.write("a")
    checkout.commit()
    sync(guest, checkout)
    refused(guest, other, f"is the copy of {checkout.path}, not of {other.path}")
    sync(guest, other, "--force")
    assert guest.files() == worktree(other) and guest.git("status", "--porcelain") == ""
    assert guest.git("fsck", "--no-dangling") == ""


def test_removed_in_the_guest_comes_back_whole(guest, checkout):
    checkout.write("a")
    checkout.write("b/c")
    checkout.commit()
    sync(guest, checkout)
    shutil.rmtree(guest.path)
    assert len(sync(guest, checkout)["sent"]) == 2
    shutil.rmtree(guest.path)
    os.mkdir(guest.path)
    guest.home.own(guest.path)
    assert len(sync(guest, checkout)["sent"]) == 2
    shutil.rmtree(guest.path + "/.git")
    assert sync(guest, checkout)["git"] and guest.git("status", "--porcelain") == ""


def test_times_are_those_of_the_arrival(guest, checkout):
    """What was built in the guest from an older file must be built again."""
    checkout.write("a", "1\n")
    checkout.commit()
    sync(guest, checkout)
    guest.write("built", "1")
    checkout.write("a", "2\n")
    os.utime(checkout.path + "/a", (1, 1))
    sync(guest, checkout)
    assert os.stat(guest.path + "/a").st_mtime_ns > os.stat(guest.path + "/built").st_mtime_ns


def test_passwords_stay_home(guest, checkout):
    checkout.write("a")
    checkout.commit()
    checkout.git("remote", "add", "origin", "https://me:secret@example.org/x.git")
    checkout.git("config", "core.autocrlf", "input")
    sync(guest, checkout)
    with open(guest.path + "/.git/config", encoding="utf-8") as f:
        text = f.read()
    assert "secret" not in text and "autocrlf" in text and "a@b" in text
    assert guest.git("config", "core.autocrlf") == "input\n"


def test_guest_without_git(guest, checkout, home):
    checkout.write("a", "1\n")
    checkout.commit()
    os.makedirs(home.path + "/guest-bin")
    for tool in ("sh", "tar", "xargs", "sha256sum", "readlink", "mkdir", "rm", "rmdir", "mv", "ls", "head", "cat", "sed",
                 "chmod", "cut"):
        os.symlink(shutil.which(tool), home.path + "/guest-bin/" + tool)
    home.own(home.path)
    guest.with_path(home.path + "/guest-bin")
    sync(guest, checkout)
    checkout.write("a", "2\n")
    checkout.commit("two")
    assert sync(guest, checkout)["git"]
    assert guest.git("log", "--format=%s") == "two\n" and guest.git("status", "--porcelain") == ""


def test_busybox_guest(guest, checkout, home):
    if not os.path.exists("/bin/busybox"):
        pytest.skip("busybox is not installed")
    for name in ODD:
        checkout.write(name, name)
    os.symlink("-dash", checkout.path + "/ln")
    home.own(home.path)
    checkout.commit()
    os.makedirs(home.path + "/guest-bin")
    for tool in ("sh", "tar", "xargs", "sha256sum", "readlink", "mkdir", "rm", "rmdir", "mv", "ls", "head", "cat", "sed",
                 "chmod", "cut"):
        os.symlink("/bin/busybox", home.path + "/guest-bin/" + tool)
    home.own(home.path)
    guest.with_path(home.path + "/guest-bin")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout)
    checkout.write("-dash", "changed")
    os.unlink(checkout.path + "/new\nline")
    assert sync(guest, checkout)["deleted"] == ['"new\\nline"']
    assert guest.files() == worktree(checkout)
    guest.write("tab\there", "guest")
    checkout.write("tab\there", "host")
    refused(guest, checkout, '"tab\\there"')


def test_broken_connection_changes_nothing(guest, checkout, home):
    checkout.write("a", "1\n")
    checkout.commit()
    sync(guest, checkout)
    checkout.write("a", "2\n")
    plain = guest.agent.change
    guest.agent.change = lambda body: None
    r = guest.prepare(checkout.path)
    assert r.status == 255 and r.err.count("banger: ") == 1 and guest.read("a") == "1\n", r
    # the archive is cut short
    guest.agent.change = lambda body: ["/bin/sh", "-c", 'head -c 700 | "$@"', "sh", *body["argv"]]
    r = guest.prepare(checkout.path)
    assert r.status == 1 and "receiving the files in web failed" in r.err and "whole" in r.err
    assert guest.read("a") == "1\n"
    guest.agent.change = plain
    sync(guest, checkout)
    assert guest.read("a") == "2\n"
    assert os.listdir(home.path + "/.cache/banger") == ["copies"]


@pytest.mark.parametrize("lie", ["", "folder\n", "banana\nnone\nnone\n", "folder\nnone\nnot a manifest", "folder\nnone\nsame\n",
                                 "folder\ngit x\nnone\n", "folder\nnone\nrecord\n\\0",
                                 "nothing\nnone\nrecord\nbanger-workspace 2\\0mode x\\0"])
def test_a_guest_that_lies_is_told_of(guest, checkout, home, lie):
    checkout.write("a")
    checkout.commit()
    guest.agent.change = lambda body: ["printf", lie]
    r = guest.prepare(checkout.path)
    assert r.status == 1 and r.err.count("banger: ") == 1 and "web" in r.err


def test_a_guest_that_talks_for_ever(guest, checkout, home):
    checkout.write("a")
    checkout.commit()
    guest.agent.change = lambda body: ["yes"]
    r = guest.prepare(checkout.path)
    assert r.status == 1 and r.err.count("banger: ") == 1


@pytest.mark.parametrize("args,status,text", [
    (["web", "/nonexistent"], 2, "/nonexistent: No such file"),
    (["web", "."], 2, "is not in a git checkout"),
    (["web", "site", "--guest-path", "repo"], 2, "give a whole path"),
    (["web", "site", "--guest-path", "/"], 2, "give a whole path"),
    (["web", "site", "--guest-path", "/a/../b"], 2, "give a whole path"),
    (["web", "site", "--mode", "deep"], 2, "\"deep\" is not shallow or full_copy"),
    (["Web", "site"], 2, "Web"),
    (["web"], 2, "an argument is missing"),
])
def test_bad_input(home, guest, checkout, args, status, text):
    r = home.run("vm", "workspace", "prepare", *args)
    assert r.status == status and text in r.err and r.err.count("banger: ") == 1, r
    assert guest.calls() == 0


def test_bare_repository_and_no_git(home, guest, checkout):
    run_as(home, "git", "init", "-q", "--bare", home.path + "/bare", cwd=home.path)
    r = guest.prepare(home.path + "/bare")
    assert r.status == 1 and "must be run in a work tree" in r.err
    r = home.run("vm", "workspace", "prepare", "web", "site", env={"PATH": "/nonexistent"})
    assert r.status == 5 and "apt install git" in r.err


def test_on_a_terminal(home, guest, checkout):
    checkout.write("a")
    checkout.commit()
    r = home.on_terminal("vm", "workspace", "prepare", "web", checkout.path, "--guest-path", guest.path,
                         env={"NO_COLOR": "1"})
    assert r.status == 0 and "sending files" in r.out and "putting them in place" not in r.out
    assert f"web:{guest.path} 1 sent" in r.out
    checkout.write("a", "2")
    r = home.on_terminal("vm", "workspace", "prepare", "web", checkout.path, "--guest-path", guest.path, "--force",
                         env={"NO_COLOR": "1"})
    assert r.status == 0 and "putting them in place" in r.out and f"web:{guest.path} 1 sent" in r.out


def test_two_at_once(home, guest, checkout):
    checkout.write("a")
    checkout.commit()
    os.mkfifo(home.path + "/gate")
    home.own(home.path)
    plain = guest.agent.change
    guest.agent.change = lambda body: ["/bin/sh", "-c", 'read x <"$HOME/gate"; exec "$@"', "sh", *body["argv"]]
    first = home.start("vm", "workspace", "prepare", "web", checkout.path, "--guest-path", guest.path,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    gate = open(home.path + "/gate", "w", encoding="utf-8")  # opens when the first is inside
    r = guest.prepare(checkout.path)
    assert r.status == 4 and "another banger brings files to web" in r.err
    guest.agent.change = plain
    gate.write("go\n")
    gate.close()
    first.communicate(timeout=60)
    assert first.returncode == 0
