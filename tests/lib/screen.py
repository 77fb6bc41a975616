# SPDX-License-Identifier: ISC
"""A real terminal (tmux) of a given width: commands are typed into it, and what it shows is read."""
import re
import subprocess
import time


class Screen:
    def __init__(self, run, columns, cwd, env, rows=40):
        """run(argv, env=…, cwd=…) does as subprocess.run does, as the user whose terminal it is."""
        self.process, self.cwd, self.columns = run, cwd, columns
        self.env = {**env, "TMUX_TMPDIR": cwd, "SHELL": "/bin/sh"}
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "-s", "s", "PS1='$ ' exec sh")
        self.wait("$")

    def tmux(self, *args):
        return self.process(["tmux", "-u", "-L", "t", *args], env=self.env, cwd=self.cwd, capture_output=True, text=True,
                            check=True, timeout=30).stdout

    def lines(self):
        return self.tmux("capture-pane", "-p", "-t", "s").rstrip("\n").split("\n")

    def wait(self, text, seconds=30):
        """Until the last line begins with the text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines = [line for line in self.lines() if line.strip()]
            if lines and lines[-1].startswith(text):
                return
            time.sleep(0.02)
        raise AssertionError(f"no {text!r}: {self.lines()}")

    def type(self, text):
        self.tmux("send-keys", "-t", "s", text, "Enter")

    def run(self, command, seconds=30):
        """The lines that a command leaves on the screen."""
        self.type(f"clear; {command}; PS1='done> '")
        return self.result(seconds)

    def result(self, seconds=30):
        self.wait("done>", seconds)
        lines = self.lines()
        self.type("PS1='$ '")
        self.wait("$")
        return lines[:-1]

    def end(self):
        self.tmux("kill-server")


class FullScreen(Screen):
    """One program on the whole screen, started by a shell that says "ended STATUS" behind it."""

    def __init__(self, run, columns, rows, cwd, env, command, term="tmux-256color"):
        self.term = term
        self.process, self.cwd, self.columns = run, cwd, columns
        self.env = {**env, "TMUX_TMPDIR": cwd, "SHELL": "/bin/sh"}
        self.tmux("-f", "/dev/null", "start-server", ";", "set", "-g", "default-terminal", term, ";", "set", "-g", "escape-time", "0", ";",
                  "new-session", "-d", "-x", str(columns), "-y", str(rows), "-s", "s", "PS1='$ ' exec sh")
        self.wait("$")
        self.type(f"{command}; echo ended $?")

    def keys(self, *names):
        """Keys by tmux's names; each of them, or a text of several characters as it is."""
        for name in names:
            named = len(name) > 1 and (name[1] in "-PpNn" or name in ("Escape", "Enter", "Up", "Down", "Left", "Right", "Tab", "BTab", "Space", "Home",
                                                                        "End", "BSpace", "Delete", "F1"))
            self.tmux("send-keys", *([] if named else ["-l"]), "-t", "s", name)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", "s", "-x", str(columns), "-y", str(rows))

    def text(self, *flags):
        return self.tmux("capture-pane", "-p", *flags, "-t", "s")

    def wait_for(self, pattern, seconds=60, gone=False):
        """Until the screen has (or has not) what the pattern says; returns the screen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            text = self.text()
            if bool(re.search(pattern, text, re.M)) != gone:
                return text
            time.sleep(0.03)
        raise AssertionError(f"{'still' if gone else 'no'} {pattern!r}:\n{self.text()}")

    def end(self):
        """Also when its terminal was closed, and the server with it."""
        try:
            super().end()
        except subprocess.CalledProcessError:
            pass
