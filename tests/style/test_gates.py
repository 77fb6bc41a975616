# SPDX-License-Identifier: ISC
"""scripts/lib/style.py: each gate on a small tree with one fault planted in it, and on the same tree without."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

SOURCE = pathlib.Path(os.environ.get("BANGER_SOURCE", pathlib.Path(__file__).parents[2]))
STYLE = SOURCE / "scripts/lib/style.py"
RUFF = os.environ.get("BANGER_RUFF", "ruff")
GOOD = {
    "a/b.h": """\
        /* SPDX-License-Identifier: ISC */
        /* b.h: one number. */
        #ifndef BG_A_B_H
        #define BG_A_B_H

        int b_number(void);

        #endif
        """,
    "a/b.c": """\
        /* SPDX-License-Identifier: ISC */
        /* b.c: the number is 1. */
        #include "a/b.h"

        int b_number(void)
        {
        \treturn 1;
        }
        """,
    "a/b_part.h": """\
        /* SPDX-License-Identifier: ISC */
        /* b_part.h: a file of b.c's. */
        #ifndef BG_A_B_PART_H
        #define BG_A_B_PART_H

        #include "a/b.h"
        #include "d/known.h"
        #include "e/low.h"

        #endif
        """,
    "e/low.h": """\
        /* SPDX-License-Identifier: ISC */
        /* low.h: what all share. */
        #ifndef BG_E_LOW_H
        #define BG_E_LOW_H

        #endif
        """,
    "d/known.h": """\
        /* SPDX-License-Identifier: ISC */
        /* known.h: stands above a, and is known to be needed there. */
        #ifndef BG_D_KNOWN_H
        #define BG_D_KNOWN_H

        #include "e/low.h"

        #endif
        """,
    "docs/architecture.md": """\
        # Architecture

        ## Layers

        | layer | parts |
        |---|---|
        | high | `d/` |
        | middle | `a/` |
        | low | `e/` |
        | lowest | `docs/` |

        | from | to | why |
        |---|---|---|
        | `a/` | `d/known.` | a test |
        """,
    "a/rows.def": '/* SPDX-License-Identifier: ISC */\n/* X(name): rows. */\n#include "a/b.h"\nX(one)\n',
    "a/meson.build": "b = static_library('b', 'b.c', implicit_include_directories: false)\n",
    "run.sh": "#!/bin/sh\n# SPDX-License-Identifier: ISC\n# Prints its first word.\necho \"$1\"\n",
    "run.py": "# SPDX-License-Identifier: ISC\n\"\"\"Prints a word.\"\"\"\nprint(\"word\")\n",
}
# gate: the file, what stands in it, what stands there instead, a word of the complaint
FAULTS = {
    "layout": ("a/b.c", "\treturn 1;", "    return 1;", "a/b.c:6"),
    "head": ("a/b.c", "/* b.c: the number is 1. */\n", "", "a/b.c:1"),
    "head of a script": ("run.sh", "# Prints its first word.\n", "", "run.sh:1"),
    "head of Python": ("run.py", '"""Prints a word."""\n', "", "run.py:1"),
    "head of a table": ("a/rows.def", "/* X(name): rows. */\n", "", "a/rows.def:1"),
    "guard": ("a/b.h", "BG_A_B_H", "BG_B_H", "a/b.h:1"),
    "guard that ends early": ("a/b.h", "#endif\n", "#endif\nint c_number(void);\n", "a/b.h:1"),
    "includes": ("a/b.c", '"a/b.h"', '"b.h"', "a/b.c"),
    "includes of a library": ("a/meson.build", ", implicit_include_directories: false", "", "a/meson.build:1"),
    "layers": ("e/low.h", "_H\n\n#endif", '_H\n\n#include "a/b.h"\n\n#endif', "e/low.h: includes a/b.h"),
    "layers: another program": ("d/known.h", '"e/low.h"', '"a/b.h"', "d/known.h: includes a/b.h"),
    "layers: a circle": ("a/b.h", "int b_n", '#include "a/rows.def"\nint b_n', "a/b: a circle: a/b, a/rows"),
    "layers: an exception for nothing": ("a/b_part.h", '#include "d/known.h"\n', "", "the exception a/ -> d/known."),
    "layers: a file in none": ("docs/architecture.md", "| high | `d/` |\n", "", "d/known.h: stands in no layer"),
    "functions": ("a/b.c", "\treturn 1;\n", "\tb_number();\n" * 57 + "\treturn 1;\n", "a function of 61 lines"),
    "files": ("a/b.h", "int b_number(void);\n", "int b_number(void);\n" * 700, "70"),
    "shell": ("run.sh", '"$1"', "$1", "run.sh:4"),
    "python": ("run.py", '"word"', "word", "run.py:3"),
}


@pytest.fixture
def tree(tmp_path):
    for name, text in GOOD.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    for name in (".clang-format", ".shellcheckrc", "ruff.toml"):
        shutil.copy(SOURCE / name, tmp_path)
    return tmp_path


def style(tree, *args):
    return subprocess.run([sys.executable, "-B", STYLE, "--tree", tree, "--ruff", RUFF, *args], capture_output=True, text=True)


def test_a_good_tree_passes(tree):
    done = style(tree)
    assert (done.returncode, done.stdout) == (0, ""), done


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails(tree, fault):
    name, old, new, words = FAULTS[fault]
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new))
    gate = re.match(r"\w+", fault)[0]
    done = style(tree, "--junit", str(tree / "out.xml"), gate)
    assert done.returncode == 1 and words in done.stdout and f"[{gate}: " in done.stdout, done
    assert "<failure" in (tree / "out.xml").read_text()
    assert style(tree, *{"layout", "guard", "includes", "shell", "python"} - {gate}).returncode == 0, "another gate sees it too"


def test_a_program_that_is_missing_fails(tree):
    """A gate that could not look has not found nothing."""
    done = subprocess.run([sys.executable, "-B", STYLE, "--tree", tree, "--ruff", tree / "no-ruff", "python"], capture_output=True, text=True)
    assert done.returncode == 1 and "no-ruff" in done.stdout, done
