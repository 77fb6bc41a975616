# SPDX-License-Identifier: ISC
"""Waits for what must come, with a bound; a test never just sleeps."""
import time


def wait_for(what, seconds=60):
    """The first true value that what() gives; bounded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"never happened within {seconds} s: {what}")
