# SPDX-License-Identifier: ISC
"""The commands that README, the pages of docs/ and the examples of --help show, as they stand there.

A block of a page is indented by four spaces. One that is a pattern or a picture and not to be typed stands behind a line
<!-- synopsis -->. What follows two blanks and a # or, in a list of commands, two blanks and a word, is a comment."""
import glob
import os
import re

FIRST = ("banger ", "ssh ", "sftp ", "curl ", "docker ", "tar ", "rsync ", "echo ", "eval ", "apt ", "./scripts/", "scripts/", "sudo ")


def plain(line):
    line = re.split(r"\s{2,}#|\t#|  +(?=[a-z])", line.strip(), maxsplit=1)[0]
    return line.strip()


def of_page(text):
    """The lines of all blocks but the marked ones."""
    found, synopsis, inside, before = [], False, False, ""
    for line in text.splitlines():
        block = line.startswith("    ")
        if block and not inside:
            synopsis = before == "<!-- synopsis -->"
        inside = block or (inside and not line.strip())
        if line.strip() and not block:
            before, inside = line.strip(), False
        if block and not synopsis and line.strip().startswith(FIRST):
            found.append(plain(line))
    return found


def of_pages(source):
    pages = ["README.md"] + sorted(os.path.relpath(p, source) for p in glob.glob(source + "/docs/*.md"))
    found = []
    for page in pages:
        with open(os.path.join(source, page), encoding="utf-8") as file:
            found += [(page, line) for line in of_page(file.read())]
    return found


def of_help(run):
    """run(*words) gives what banger prints; the examples of every command that help lists."""
    found = []
    for line in run("help").splitlines():
        if not (line.startswith("  ") and line[2:3].islower()):
            continue
        words = re.match(r"  (vm workspace [a-z]+|[a-z-]+(?: [a-z-]+)?)", line)[1].split()
        text = run(*words, "--help").split("\nExample\n")[1].split("\n\n")[0]
        found += [(" ".join(words), example.strip()) for example in text.splitlines() if example.strip()]
    return found
