# SPDX-License-Identifier: ISC
"""Puts a file into a folder that a web server shows, and its entry into the catalog.json there: for publish-kernel and publish-image."""
import argparse
import hashlib
import json
import os
import re
import shutil
import sys

NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def die(text):
    sys.exit(f"publish: {text}")


def load(path):
    if not os.path.exists(path):
        return {"format": 1, "entries": []}
    with open(path, encoding="utf-8") as f:
        try:
            catalog = json.load(f)
        except ValueError as e:
            die(f"{path} is no JSON: {e}")
    if not isinstance(catalog, dict) or catalog.get("format") != 1 or not isinstance(catalog.get("entries"), list):
        die(f"{path} is no catalog of format 1")
    return catalog


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def copy(source, folder, name):
    """Under a name that has the start of its digest: an older catalog's entry stays true."""
    digest = sha256(source)
    kind = re.search(r"(\.tar)?\.(zst|deb|rpm)$", source)
    target = f"{name}-{digest[:12]}" + (kind.group() if kind else "")
    path = os.path.join(folder, target)
    if not os.path.exists(path):
        shutil.copyfile(source, path + ".part")
        os.rename(path + ".part", path)
    return target, digest


def main(kind):
    p = argparse.ArgumentParser(prog=f"publish-{kind}", description=f"Adds a {kind} to the catalog of a folder.")
    p.add_argument("file", help="what `banger kernel import` takes" if kind == "kernel" else "what `banger image export` wrote")
    p.add_argument("folder", help="where the file and catalog.json go: what a web server shows")
    p.add_argument("--name", required=True, help="what `pull` calls it")
    p.add_argument("--description", default="", help="one line about it")
    a = p.parse_args()
    if not NAME.fullmatch(a.name):
        die(f'"{a.name}" is no name: 1 to 40 of a-z, 0-9 and "-", starting with a letter, not ending with "-"')
    if not os.path.isfile(a.file):
        die(f"{a.file}: there is no such file")
    os.makedirs(a.folder, exist_ok=True)
    path = os.path.join(a.folder, "catalog.json")
    catalog = load(path)
    target, digest = copy(a.file, a.folder, a.name)
    entries = [e for e in catalog["entries"] if (e.get("kind"), e.get("name"), e.get("arch")) != (kind, a.name, "x86_64")]
    entries.append({"kind": kind, "name": a.name, "arch": "x86_64", "url": target, "sha256": digest,
                    "size": os.path.getsize(a.file), "description": a.description})
    catalog["entries"] = sorted(entries, key=lambda e: (str(e.get("kind")), str(e.get("name"))))
    with open(path + ".part", "w", encoding="utf-8") as f:
        json.dump(catalog, f, indent=2, ensure_ascii=False)
        f.write("\n")
    os.rename(path + ".part", path)
    print(f"{path}: {kind} {a.name}, sha256 {digest}")


if __name__ == "__main__":
    main(os.environ["BANGER_PUBLISH"])
