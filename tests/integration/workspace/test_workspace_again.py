# SPDX-License-Identifier: ISC
"""The second sync and those after it: what is asked of the guest, the record that is kept there, the copy of it that this machine
remembers. None of them lost, late, cut off or wrong may lose work or leave files behind."""
import os
import shutil
import subprocess

import pytest

from checkout import Checkout, Guest, run_as
from test_workspace import checkout, guest, refused, sync, worktree  # noqa: F401 (fixtures)

assert checkout and guest


@pytest.fixture
def brought(guest, checkout):
    for i in range(400):
        checkout.write(f"d{i % 7}/f{i}", f"{i}\n")
    checkout.commit()
    sync(guest, checkout)
    return checkout


def record(guest):
    return os.path.join(os.path.dirname(guest.path), ".banger", "repo", "manifest")


def remembered(home):
    folder = home.path + "/.cache/banger/copies"
    names = os.listdir(folder)
    assert len(names) == 1
    return os.path.join(folder, names[0])


def content(path):
    with open(path, "rb") as file:
        return file.read()


def overwrite(home, path, data):
    with open(path, "wb") as file:
        file.write(data)
    home.own(os.path.dirname(path))


def only(guest, brought, name, text):
    """One more change arrives alone, and the copy is right."""
    brought.write(name, text)
    assert sync(guest, brought)["sent"] == [name]
    assert guest.files() == worktree(brought)


def test_two_sessions_of_the_agent_and_little_to_carry(guest, brought, home):
    before, was = guest.calls(), len(content(record(guest)))
    moved = guest.agent.moved
    only(guest, brought, "d1/f1", "new\n")
    bodies = guest.agent.bodies[before:]
    assert [(b["kind"], b["argv"][1]) for b in bodies] == [("workspace", "look"), ("workspace", "put")]
    assert guest.agent.moved - moved < 16384, "the record travelled"
    grown = content(record(guest))
    assert was < len(grown) < was + 2048, "the record was written anew"
    assert content(remembered(home)) == grown


def test_git_is_asked_only_when_it_matters(guest, brought):
    before = guest.calls()
    only(guest, brought, "d1/f1", "new\n")
    assert all(b["argv"][0] != "/bin/sh" for b in guest.agent.bodies[before:])
    for turn in ("two", "three"):
        brought.write("d1/f1", turn)
        brought.commit(turn)
        before = guest.calls()
        assert sync(guest, brought)["git"]
        assert len(guest.agent.bodies[before:]) == 2
    assert guest.git("log", "--format=%s") == "three\n"
    assert guest.git("status", "--porcelain") == ""  # writes another index there
    brought.write("d1/f1", "four")
    brought.commit("four")
    before = guest.calls()
    sync(guest, brought)
    assert [b["argv"][0] == "/bin/sh" for b in guest.agent.bodies[before:]] == [False, True, False]


@pytest.mark.parametrize("theirs", ["git commit -q --allow-empty -m x", "git add mine", "git switch -qc x", "git rm -q --cached d1/f1",
                                    "git pack-refs --all && git commit -q --allow-empty -m x", "git checkout -q --detach"])
def test_what_git_did_there_is_seen(guest, brought, theirs):
    guest.write("mine", "1\n")
    run_as(guest.home, "sh", "-ec", theirs, cwd=guest.path)
    brought.write("d1/f1", "new\n")
    brought.commit("two")
    refused(guest, brought, "has commits or staged changes of its own")


def test_a_record_that_grew_much_is_written_anew(guest, brought, home):
    first = len(content(record(guest)))
    sizes = []
    for turn in range(6):
        for i in range(0, 400, 2):
            brought.write(f"d{i % 7}/f{i}", f"{turn} {i}\n")
        assert len(sync(guest, brought)["sent"]) == 200
        sizes.append(len(content(record(guest))))
        assert content(remembered(home)) == content(record(guest))
    assert guest.files() == worktree(brought)
    assert any(b < a for a, b in zip(sizes, sizes[1:])) and max(sizes) < first + 64 * 1024 + first // 2
    only(guest, brought, "d1/f1", "after\n")


def test_what_was_deleted_stays_deleted(guest, brought):
    os.unlink(brought.path + "/d1/f1")
    shutil.rmtree(brought.path + "/d2")
    assert len(sync(guest, brought)["deleted"]) == 58
    assert sync(guest, brought)["deleted"] == []
    brought.write("d2/again", "a\n")
    brought.write("d1/f1", "back\n")
    brought.git("add", "-A")
    assert sync(guest, brought)["sent"] == ["d1/f1", "d2/again"]
    os.unlink(brought.path + "/d1/f1")
    assert sync(guest, brought)["deleted"] == ["d1/f1"]
    assert guest.files() == worktree(brought)


@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "older", "empty"])
def test_what_this_machine_remembers_may_be_wrong(guest, brought, home, harm):
    old = content(remembered(home))
    only(guest, brought, "d1/f1", "one\n")
    path = remembered(home)
    now = content(path)
    overwrite(home, path, {"cut": now[:-9], "flipped": now[:200].replace(b"f 644", b"f 600") + now[200:], "older": old,
                           "empty": b"", "gone": b""}[harm])
    if harm == "gone":
        shutil.rmtree(os.path.dirname(path))
    only(guest, brought, "d2/f2", "two\n")
    assert content(remembered(home)) == content(record(guest))
    guest.write("d3/f3", "of the guest\n")
    brought.write("d3/f3", "of the host\n")
    refused(guest, brought, "as well as here: d3/f3")


@pytest.mark.parametrize("harm", ["cut", "garbage", "older", "first only"])
def test_the_record_may_be_cut_off(guest, brought, home, harm):
    """A guest that lost power: files are in place, and the record is not, or half."""
    before = content(record(guest))
    only(guest, brought, "d1/f1", "one\n")
    now = content(record(guest))
    overwrite(home, record(guest), {"cut": now[:-9], "garbage": now + b"\0" * 700, "older": before,
                                    "first only": before + now[len(before):len(before) + 5]}[harm])
    r = sync(guest, brought)
    assert set(r["sent"]) <= {"d1/f1"} and guest.files() == worktree(brought)
    only(guest, brought, "d2/f2", "two\n")
    guest.write("d3/f3", "of the guest\n")
    only_mine = sync(guest, brought)
    assert only_mine["sent"] == [] and guest.read("d3/f3") == "of the guest\n"


def test_another_machine_brought_files_meanwhile(guest, brought, home):
    old = content(remembered(home))
    brought.write("d1/f1", "one\n")
    os.unlink(brought.path + "/d2/f2")
    sync(guest, brought)
    overwrite(home, remembered(home), old)  # it is now a machine that was not there
    assert sync(guest, brought)["sent"] == []
    assert content(remembered(home)) == content(record(guest))
    only(guest, brought, "d3/f3", "three\n")


def test_between_look_and_put_somebody_else_was_faster(guest, brought, home):
    """What is added to a record that is not the one it was made for would make it wrong."""
    plain = guest.agent.change

    def change(body):
        if body["argv"][1:2] == ["put"]:
            with open(record(guest), "ab") as file:
                file.write(b"x")
        return plain(body)
    guest.agent.change = change
    brought.write("d1/f1", "one\n")
    r = guest.prepare(brought.path)
    assert r.status == 1 and "somebody else brought files meanwhile" in r.err, r
    assert guest.read("d1/f1") == "1\n" and not os.path.exists(os.path.dirname(record(guest)) + "/stage")
    guest.agent.change = plain
    assert sync(guest, brought)["sent"] == ["d1/f1"]


def test_two_copies_do_not_meet(guest, brought, fake, home):
    other = Guest(home, fake, "other", "guest2")
    site = Checkout(home, "second")
    site.write("a", "1\n")
    site.commit()
    sync(other, site)
    assert len(os.listdir(home.path + "/.cache/banger/copies")) == 2
    only(guest, brought, "d1/f1", "one\n")
    only(other, site, "a", "2\n")


def test_folders_that_the_guest_removed_are_made_again(guest, brought):
    shutil.rmtree(guest.path + "/d1")
    brought.write("d1/new/f", "1\n")
    brought.write("d1/f1", "1 more\n")
    brought.git("add", "-A")
    assert sync(guest, brought)["sent"] == ["d1/f1", "d1/new/f"]
    assert guest.read("d1/new/f") == "1\n" and guest.read("d1/f1") == "1 more\n" and not guest.has("d1/f8")


def test_a_folder_of_the_copy_is_another_file_system(guest, brought):
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    os.symlink("f2", brought.path + "/d2/link")
    brought.home.own(brought.path)
    brought.git("add", "-A")
    uid = brought.home.uid
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"uid={uid},gid={uid}", "none", guest.path + "/d2"], check=True)
    try:
        brought.write("d2/f2", "two\n", 0o755)
        assert sync(guest, brought, "--force")["sent"] == ["d2/f2", "d2/link"]
        assert guest.read("d2/link") == "two\n" and os.access(guest.path + "/d2/f2", os.X_OK)
        assert sorted(os.listdir(guest.path + "/d2")) == ["f2", "link"]
    finally:
        subprocess.run(["umount", guest.path + "/d2"], check=True)


def test_a_file_is_never_half_new(guest, brought):
    """It is put in place by a rename: who has the old one open keeps it."""
    with open(guest.path + "/d1/f1", encoding="utf-8") as old:
        only(guest, brought, "d1/f1", "one\n")
        assert old.read() == "1\n"
