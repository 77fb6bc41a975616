#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Puts the page's files into C: embed.py OUT LIMIT FILE...

What is sent as it is (.css, .js, .svg) gets a path with its content's hash; .html are templates. The sum of all stays
below LIMIT bytes, or the build fails. What only readers of the source need (lines that are comments, blanks that begin a line) stays out.
"""
import hashlib
import os
import re
import sys

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def quoted(data: bytes) -> str:
    """C literals, one for each line of the file; octal, since a digit may follow."""
    plain = set(range(32, 127)) - set(b'"\\?')
    lines = data.split(b"\n")
    out = []
    for i, line in enumerate(lines):
        text = "".join(chr(b) if b in plain else f"\\{b:03o}" for b in line)
        if i < len(lines) - 1:
            text += "\\n"
        if text:
            out.append(f'\t"{text}"')
    return "\n".join(out) or '\t""'


def squeezed(data: bytes) -> bytes:
    """A comment is a line of its own, and no text goes over lines: so no grammar is needed, and a script's lines keep their ends."""
    lines = [line.strip() for line in data.split(b"\n")]
    return b"\n".join(line for line in lines if line and not line.startswith((b"// ", b"/* "))) + b"\n"


def squeezed_style(data: bytes) -> bytes:
    """The page's own style: its texts hold none of these characters with a blank beside."""
    return re.sub(rb"(?<=:) |\s*([{};,])\s*", rb"\1", squeezed(data))


def main() -> None:
    out, limit, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    rows, total = [], 0
    for path in files:
        name, ext = os.path.splitext(os.path.basename(path))
        with open(path, "rb") as f:
            data = (squeezed_style if ext == ".css" else squeezed)(f.read())
        total += len(data)
        if ext == ".html":
            head = f'{{"{name}", NULL, NULL,'
        else:
            digest = hashlib.sha256(data).hexdigest()[:12]
            head = f'{{"{name}{ext}", "{TYPES[ext]}", "/a/{digest}-{name}{ext}",'
        rows.append(f"\t{head}\n{quoted(data)},\n\t{len(data)}}},\n")
    if total >= limit:
        sys.exit(f"the page has {total} bytes, {limit} are allowed")
    with open(out, "w", encoding="ascii") as f:
        f.write('/* Made by embed.py. */\n#include "daemon/web/web_impl.h"\n\nconst struct asset web_assets[] = {\n')
        f.writelines(rows)
        f.write("};\nconst size_t web_n_assets = sizeof(web_assets) / sizeof(web_assets[0]);\n")


main()
