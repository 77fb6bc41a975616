# SPDX-License-Identifier: ISC
"""What turns into something of another kind, here or in the guest: folders, links and files, in each other's place. All of it is judged
before anything is changed, and nothing outside of the copy is reached."""
import os
import shutil

import pytest

from checkout import tree
from test_workspace import checkout, guest, refused, sync, worktree  # noqa: F401 (fixtures)

assert checkout and guest


@pytest.fixture
def outside(guest):
    """A folder beside the copy, as the guest's user has others."""
    path = os.path.join(os.path.dirname(guest.path), "outside")
    os.mkdir(path)
    guest.home.own(path)
    return path


def move_out(guest, outside, name):
    os.rename(os.path.join(guest.path, name), os.path.join(outside, name))
    os.symlink(os.path.join(outside, name), os.path.join(guest.path, name))


def test_a_link_becomes_a_folder_here(guest, checkout):
    checkout.write("d/f", "f\n")
    os.symlink("d", checkout.path + "/dl")
    checkout.commit()
    sync(guest, checkout)
    os.unlink(checkout.path + "/dl")
    checkout.write("dl/f", "new\n")
    checkout.commit()
    assert sync(guest, checkout)["sent"] == ["dl/f"], "nothing was changed there"
    assert guest.files() == worktree(checkout) and guest.read("d/f") == "f\n"


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_became_a_link_there(guest, checkout, outside, force):
    for name in ("a", "d/f", "d/g", "e/f", "e/deep/er"):
        checkout.write(name, "one\n")
    checkout.commit()
    sync(guest, checkout)
    for name in ("d", "e"):
        move_out(guest, outside, name)
    before = tree(outside)
    checkout.write("d/f", "two\n")
    shutil.rmtree(checkout.path + "/e")
    checkout.commit()
    if not force:
        r = refused(guest, checkout, "d/f")
        assert "e/f" in r.err and "d/g" not in r.err
    else:
        sync(guest, checkout, "--force")
        assert guest.read("d/f") == "two\n" and not os.path.islink(guest.path + "/d")
        assert not guest.has("e")
    assert tree(outside) == before


def test_a_new_name_below_a_link_there(guest, checkout, outside):
    checkout.write("d/f", "one\n")
    checkout.commit()
    sync(guest, checkout)
    move_out(guest, outside, "d")
    checkout.write("d/new", "n\n")
    checkout.commit()
    refused(guest, checkout, "d/new")
    assert os.listdir(outside + "/d") == ["f"]


def test_a_file_there_where_a_folder_comes(guest, checkout):
    checkout.write("a", "a\n")
    checkout.commit()
    sync(guest, checkout)
    guest.write("new", "mine\n")
    checkout.write("new/f", "f\n")
    checkout.commit()
    refused(guest, checkout, "new/f")
    sync(guest, checkout, "--force")
    assert guest.read("new/f") == "f\n"


def test_a_folder_becomes_a_file_here(guest, checkout):
    for name in ("d/f", "d/deep/g", "a"):
        checkout.write(name, "one\n")
    checkout.commit()
    sync(guest, checkout)
    shutil.rmtree(checkout.path + "/d")
    checkout.write("d", "a file\n")
    checkout.commit()
    guest.write("d/mine", "made there\n")
    refused(guest, checkout, "d")
    os.unlink(guest.path + "/d/mine")
    os.mkdir(guest.path + "/d/empty")
    guest.home.own(guest.path)
    refused(guest, checkout, "d")
    os.rmdir(guest.path + "/d/empty")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout) and guest.read("d") == "a file\n"


def test_a_folder_becomes_a_file_and_what_is_in_it_is_agreed_to(guest, checkout):
    checkout.write("d/f", "one\n")
    checkout.commit()
    sync(guest, checkout)
    shutil.rmtree(checkout.path + "/d")
    checkout.write("d", "a file\n")
    checkout.commit()
    guest.write("d/mine", "made there\n")
    sync(guest, checkout, "--force")
    assert guest.read("d") == "a file\n"


def test_a_file_becomes_a_folder_here_and_was_changed_there(guest, checkout):
    checkout.write("x", "one\n")
    checkout.commit()
    sync(guest, checkout)
    os.unlink(checkout.path + "/x")
    checkout.write("x/f", "f\n")
    checkout.commit()
    guest.write("x", "changed there\n")
    refused(guest, checkout, "x")
    guest.write("x", "one\n")
    sync(guest, checkout)
    assert guest.files() == worktree(checkout)


def test_both_made_the_same_link_of_a_folder(guest, checkout):
    for name in ("d/f", "e/f"):
        checkout.write(name, "one\n")
    checkout.commit()
    sync(guest, checkout)
    for top in (checkout.path, guest.path):
        shutil.rmtree(top + "/e")
        os.symlink("d", top + "/e")
    checkout.commit()
    sync(guest, checkout)
    assert guest.files() == worktree(checkout) and guest.read("d/f") == "one\n"


def test_git_that_was_moved_away(guest, checkout, outside):
    checkout.write("a", "one\n")
    checkout.commit()
    sync(guest, checkout)
    move_out(guest, outside, ".git")
    before = tree(outside)
    checkout.write("a", "two\n")
    checkout.commit()
    r = guest.prepare(checkout.path)
    assert r.status != 0 and guest.read("a") == "one\n"
    assert tree(outside) == before
