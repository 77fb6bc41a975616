# SPDX-License-Identifier: ISC
"""What users read, gathered for reading: the tables of commands, flags, errors and keys, and the messages in the sources.

    pytest -s tests/integration/cli/test_words.py::test_print_them      prints all of it

The rules: plain English; "not a", where a thing is of another kind; "in the VM" and the names of what is meant."""
import glob
import os
import re

SOURCE = os.environ.get("BANGER_SOURCE", os.path.join(os.path.dirname(__file__), "../../.."))
FOLDERS = ("cli", "common", "daemon", "worker", "guest", "privhelper", "launcher")
STRING = r'"((?:[^"\\\n]|\\.)*)"'

# What was written once, and is not plain.
BAD = [
    r"\b(is|are) no (?!longer\b|nearer\b|more\b)\w", r"\bmend(s|ed)?\b", r"\bno such a\b", r"\bslip in\b", r"\bfor a look\b", r"\bits words\b",
    r"\bnot true of\b", r"\bfor good\b", r"\bone argument too many\b", r"\bsomething is missing\b", r"\bno way back\b",
    r"\bmade by copy\b", r"\bcopy of its own\b",
]
GOOD = re.compile(r"[Tt]here (is|are) no ")


def sources():
    for folder in FOLDERS:
        for pattern in ("*.c", "*.def"):
            yield from sorted(glob.glob(os.path.join(SOURCE, folder, "**", pattern), recursive=True))


def messages():
    """(file, text): string literals that are sentences, neighbours joined as the compiler does it."""
    for path in sources():
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        for m in re.finditer(rf"{STRING}(?:\s*\\?\s*{STRING})*", text):
            words = "".join(re.findall(STRING, m[0]))
            if len(words.split()) >= 3:
                yield os.path.relpath(path, SOURCE), words.replace('\\"', '"').replace("\\n", " ")


def helped(home):
    for line in home.run("help").out.splitlines():
        if line.startswith("  ") and line[2:3].islower():
            words = re.match(r"  (vm workspace [a-z]+|[a-z-]+(?: [a-z-]+)?)", line)[1].split()
            yield " ".join(words), home.run(*words, "--help").out


def bad(text):
    text = GOOD.sub("", " ".join(text.split()))
    return [pattern for pattern in BAD if re.search(pattern, text)]


def test_messages_are_in_plain_words():
    found = list(messages())
    assert len(found) > 1000
    assert [(path, text) for path, text in found if bad(text)] == []


def test_help_is_in_plain_words(home):
    found = list(helped(home))
    assert len(found) > 40
    assert [(name, bad(text)) for name, text in found if bad(text)] == []


def test_pages_are_in_plain_words():
    pages = [os.path.join(SOURCE, "README.md"), *glob.glob(os.path.join(SOURCE, "docs", "*.md"))]
    for page in pages:
        with open(page, encoding="utf-8") as file:
            assert [line for line in file if re.search(r"\bmend(s|ed)?\b|\bslip in\b|\bno such a\b", line)] == [], page


def test_print_them(home):
    for path, text in messages():
        print(f"{path}: {text}")
    for name, text in helped(home):
        print(f"--- {name} --help\n{text}")
