# SPDX-License-Identifier: ISC
"""docs/reliability.md: each fault has its tests, and each test that it names exists."""
import os
import re

SOURCE = os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "../../.."))
FAULTS = 29


def text(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def rows():
    for line in text("docs/reliability.md").splitlines():
        m = re.match(r"\| (\d+) \| (.+?) \| (.+) \|$", line)
        if m:
            yield int(m[1]), re.findall(r"`(tests/[\w/]+\.(?:py|c))::(\w+)`", m[3])


def exists(path, name):
    pattern = rf"^def {name}\(" if path.endswith(".py") else rf"^TEST\({name}\)"
    return os.path.exists(os.path.join(SOURCE, path)) and re.search(pattern, text(path), re.M)


def test_each_fault_has_tests_that_exist():
    found = list(rows())
    assert [number for number, _ in found] == list(range(1, FAULTS + 1))
    assert [number for number, tests in found if not tests] == []
    assert [(path, name) for _, tests in found for path, name in tests if not exists(path, name)] == []
