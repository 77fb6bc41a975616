# SPDX-License-Identifier: ISC
"""What of git's state is neither commit nor file: marks in the index, settings, merges, filters. git in the guest says what git here says."""
import os
import shutil
import subprocess

import pytest

from checkout import run_as
from test_workspace import checkout, guest, refused, sync, worktree  # noqa: F401 (fixtures)

assert checkout and guest

STATUS = ("status", "--porcelain", "--untracked-files=no")


def same_status(guest, checkout):
    assert guest.git(*STATUS) == checkout.git(*STATUS)


def test_another_part_of_a_sparse_checkout(guest, checkout):
    for name in ("top", "d1/f", "d2/f"):
        checkout.write(name, name)
    checkout.commit()
    checkout.git("sparse-checkout", "set", "d1")
    sync(guest, checkout)
    checkout.git("sparse-checkout", "set", "d2")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout) and guest.git(*STATUS) == ""
    assert not guest.has("d1/f")
    checkout.git("sparse-checkout", "disable")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout) and guest.git(*STATUS) == ""


def test_marks_of_files(guest, checkout):
    for name in ("local", "assumed", "gone", "both"):
        checkout.write(name, "base\n")
    checkout.commit()
    checkout.git("update-index", "--skip-worktree", "local", "gone", "both")
    checkout.git("update-index", "--assume-unchanged", "assumed", "both")
    for name in ("local", "assumed", "both"):
        checkout.write(name, "mine, and longer\n")
    os.unlink(checkout.path + "/gone")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout) and guest.read("local") == "mine, and longer\n"
    same_status(guest, checkout)
    assert guest.git("ls-files", "-v") == checkout.git("ls-files", "-v")
    checkout.git("update-index", "--no-skip-worktree", "local")
    sync(guest, checkout)
    same_status(guest, checkout)
    assert " M local" in guest.git(*STATUS)


def test_what_is_only_to_be_added(guest, checkout):
    checkout.write("a", "a\n")
    checkout.write("empty", "")
    checkout.commit()
    checkout.write("new/file with space", "new\n")
    checkout.write("staged-empty", "")
    checkout.git("add", "-N", "new/file with space")
    checkout.git("add", "staged-empty")
    same = checkout.fingerprint()
    assert guest.prepare(checkout.path).status == 0
    now = checkout.fingerprint()
    assert {k for k in now[1] if now[1][k] != same[1].get(k)} == set()
    same_status(guest, checkout)
    assert guest.git("diff", "--name-only") == checkout.git("diff", "--name-only")


@pytest.mark.parametrize("key", ["core.fileMode", "core.symlinks"])
def test_settings_that_change_what_files_are(guest, checkout, key):
    checkout.write("s", "target")
    checkout.commit()
    if key == "core.symlinks":
        os.unlink(checkout.path + "/s")
        os.symlink("target", checkout.path + "/s")
        checkout.commit()
        checkout.git("config", key, "false")
        os.unlink(checkout.path + "/s")
        checkout.write("s", "target")
    else:
        checkout.git("config", key, "false")
        os.chmod(checkout.path + "/s", 0o755)
    assert checkout.git(*STATUS) == ""
    sync(guest, checkout)
    assert guest.git(*STATUS) == ""


@pytest.mark.parametrize("kind", ["merge", "cherry-pick", "revert"])
def test_a_merge_in_progress(guest, checkout, kind):
    checkout.write("a", "0\n")
    checkout.write("b", "b\n")
    checkout.commit()
    checkout.run("sh", "-ec", f"""git checkout -q -b x; echo x >a; git commit -qam x; echo xx >a; git commit -qam xx; git checkout -q main
                 echo m >a; git commit -qam m; ! git {kind} x~{0 if kind == "merge" else 1} >/dev/null 2>&1; ls .git/*_HEAD""")
    sync(guest, checkout)
    same_status(guest, checkout)
    guest.write("a", "both\n")
    guest.git("add", "a")
    guest.git("-c", "user.name=g", "-c", "user.email=g@h", "commit", "-q", "--no-edit")
    parents = guest.git("log", "-1", "--format=%P").split()
    assert len(parents) == (2 if kind == "merge" else 1)
    r = guest.home.run("vm", "workspace", "pull", "web", checkout.path, "--guest-path", guest.path)
    assert r.status == 0, r
    assert checkout.git("log", "-1", "--format=%P", "banger/web").split() == parents
    checkout.git("fsck", "--strict")


def test_a_merge_that_is_over(guest, checkout):
    checkout.write("a", "0\n")
    checkout.commit()
    checkout.run("sh", "-ec", """git checkout -q -b x; echo x >a; git commit -qam x; git checkout -q main; echo m >a; git commit -qam m
                 ! git merge x >/dev/null 2>&1""")
    sync(guest, checkout)
    assert os.path.exists(guest.path + "/.git/MERGE_HEAD")
    checkout.git("merge", "--abort")
    sync(guest, checkout)
    assert not os.path.exists(guest.path + "/.git/MERGE_HEAD")
    assert guest.files() == worktree(checkout)
    same_status(guest, checkout)


def test_a_rebase_is_said(guest, checkout):
    checkout.write("a", "0\n")
    checkout.commit()
    checkout.run("sh", "-ec", """git checkout -q -b x; echo x >a; git commit -qam x; git checkout -q main; echo m >a; git commit -qam m
                 git checkout -q x; ! git rebase main >/dev/null 2>&1""")
    r = guest.prepare(checkout.path)
    assert r.status == 0 and "a rebase is in progress here" in r.err


def filtered(checkout, command):
    checkout.git("config", "filter.up.clean", command)
    checkout.git("config", "filter.up.smudge", "tr a-z A-Z")
    checkout.write(".gitattributes", "f filter=up\n")
    checkout.write("a", "a\n")


def test_a_filter_that_the_guest_can_run(guest, checkout):
    filtered(checkout, "tr A-Z a-z")
    checkout.write("f", "HELLO\n")
    checkout.commit()
    sync(guest, checkout)
    assert guest.git(*STATUS) == "" and guest.read("f") == "HELLO\n"
    guest.write("f", "HELLO THERE\n")
    guest.git("-c", "user.name=g", "-c", "user.email=g@h", "commit", "-qam", "there")
    assert guest.git("show", "HEAD:f") == "hello there\n"


def test_a_filter_that_is_missing_there(guest, checkout, home):
    home.program("bin/only-here", "#!/bin/sh\nexec tr A-Z a-z\n")
    filtered(checkout, "only-here --clean")
    checkout.write("f", "HELLO\n")
    checkout.commit()
    empty = os.path.join(home.path, "guest-bin")
    os.mkdir(empty)
    for name in ("git", "sh", "tr", "sha256sum", "cut", "cat", "mktemp", "cp", "rm", "xargs"):
        os.symlink(shutil.which(name), os.path.join(empty, name))
    guest.with_path(empty)
    r = guest.prepare(checkout.path)
    assert r.status == 0 and 'the program of filter "up" is not in the VM' in r.err
    there = ["/usr/bin/env", "PATH=" + empty, "git"]
    assert run_as(home, *there, *STATUS, cwd=guest.path) == ""
    guest.write("a", "changed\n")
    guest.write("f", "HELLO, changed\n")
    run_as(home, *there, "-c", "user.name=g", "-c", "user.email=g@h", "commit", "-qam", "there", cwd=guest.path)
    assert guest.git("show", "HEAD:f") == "hello\n", "raw content was committed"
    done = subprocess.run([*there, "-C", guest.path, "update-index", "--no-assume-unchanged", "f"], env=home.env, check=False)
    done = subprocess.run([*there, "-C", guest.path, "add", "f"], env=home.env, capture_output=True, check=False)
    assert done.returncode != 0, "nor when it is asked for"
    # it is installed there: the next sync says so to git
    os.symlink(home.path + "/bin/only-here", os.path.join(empty, "only-here"))
    guest.git("reset", "-q", "--hard", "HEAD~")
    guest.write("f", "HELLO\n")
    r = guest.prepare(checkout.path, "--force")
    assert r.status == 0 and "not in the VM" not in r.err
    assert guest.git("ls-files", "-v", "f") == "H f\n"


def test_objects_that_are_elsewhere(guest, checkout, home):
    checkout.write("a", "a\n")
    checkout.commit()
    run_as(home, "git", "clone", "-q", "--shared", checkout.path, home.path + "/shared")
    r = guest.prepare(home.path + "/shared", "--mode", "full_copy")
    assert r.status == 2 and "keeps some of its objects elsewhere" in r.err and not guest.has(".git")
    assert guest.prepare(home.path + "/shared").status == 0
    assert guest.git("log", "--format=%s").strip() == "c"


def test_settings_about_bare_repositories(guest, checkout):
    checkout.write("a", "a\n")
    checkout.commit()
    run_as(guest.home, "git", "config", "--global", "safe.bareRepository", "explicit")
    sync(guest, checkout)
    guest.write("b", "b\n")
    guest.git("add", "b")
    guest.git("-c", "user.name=g", "-c", "user.email=g@h", "commit", "-qm", "g")
    r = guest.home.run("vm", "workspace", "pull", "web", checkout.path, "--guest-path", guest.path)
    assert r.status == 0, r


def test_why_git_refuses(guest, checkout):
    checkout.write("a", "a\n")
    checkout.commit()
    sync(guest, checkout)
    guest.git("-c", "user.name=g", "-c", "user.email=g@h", "commit", "-q", "--allow-empty", "-m", "g")

    def pull():
        return guest.home.run("vm", "workspace", "pull", "web", checkout.path, "--guest-path", guest.path)
    checkout.git("branch", "banger")
    r = pull()
    assert r.status == 1 and "'refs/heads/banger' exists" in r.err and "?" not in r.err, r
    checkout.git("branch", "-qD", "banger")
    checkout.write(".git/refs/heads/banger/web.lock", "")
    r = pull()
    assert r.status == 1 and "web.lock" in r.err, r
    os.unlink(checkout.path + "/.git/refs/heads/banger/web.lock")
    assert pull().status == 0


def test_holes_stay_holes(guest, checkout):
    checkout.write("a", "a\n")
    checkout.commit()
    with open(checkout.path + "/hole", "wb") as file:
        file.truncate(40 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    guest.home.own(checkout.path)
    sync(guest, checkout, "--include-untracked")
    assert guest.files() == worktree(checkout)
    assert os.stat(guest.path + "/hole").st_blocks * 512 < 1 << 20
    assert sync(guest, checkout, "--include-untracked")["sent"] == []


@pytest.fixture
def diffed(guest, checkout):
    for name in ("a", "mode", "b/c", "odd name"):
        checkout.write(name, "".join(f"{i}\n" for i in range(20)))
    checkout.write("here", "1\n")
    checkout.commit()
    checkout.write("here", "2\n")
    os.chmod(checkout.path + "/here", 0o755)
    sync(guest, checkout)
    return checkout


SETTINGS = ["diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.context=0", "diff.interHunkContext=9", "color.ui=always", "diff.relative=true",
            "diff.external=false", "diff.renames=copies", "diff.orderFile=/no/such", "diff.suppressBlankEmpty=true", "diff.wordRegex=.",
            "diff.submodule=log", "core.quotePath=false", "core.abbrev=4"]


def test_a_diff_is_a_patch_whatever_git_there_is_told(guest, diffed):
    for setting in SETTINGS:
        guest.git("config", "--local", *setting.split("=", 1))
    os.makedirs(guest.path + "/.git/info", exist_ok=True)
    with open(guest.path + "/.git/info/attributes", "w", encoding="utf-8") as file:
        file.write("a diff=up\n")
    guest.git("config", "diff.up.textconv", "tr a-z A-Z <")
    guest.git("config", "diff.up.command", "false")
    guest.write("a", "0\nchanged\n" + "".join(f"{i}\n" for i in range(2, 20)))
    guest.write("odd name", bytes(range(256)))
    guest.write("new", "n\n")
    os.chmod(guest.path + "/mode", 0o755)
    os.unlink(guest.path + "/b/c")
    r = guest.home.run("vm", "workspace", "diff", "web", diffed.path, "--guest-path", guest.path)
    assert r.status == 0 and "here" not in r.out, r
    assert "old mode 100644\nnew mode 100755" in r.out
    diffed.run("git", "apply", "--index", "-", stdin=r.out)
    assert {k: v for k, v in guest.files().items()} == worktree(diffed)


def test_modes_that_are_as_they_were_brought(guest, diffed):
    r = guest.home.run("vm", "workspace", "diff", "web", diffed.path, "--guest-path", guest.path)
    assert r.status == 0 and r.out == "", r
