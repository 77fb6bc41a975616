# SPDX-License-Identifier: ISC
"""What a VM costs while nobody uses it: what its guest writes by itself, and how often it wakes QEMU."""
import os
import time

LIFETIME_KIB = 6000  # each of / and /root, from the making of the image on
QUIET_S = 20
WAKES = 40  # a second; with a timer that ticks for nobody it was 58, without it is below ten on an idle machine


def switches(pid):
    """Voluntary context switches by thread."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status") as f:
            found[tid] = next(int(line.split()[1]) for line in f if line.startswith("voluntary"))
    return found


def wakes(pid, seconds):
    before = switches(pid)
    time.sleep(seconds)  # what is measured is this time itself
    after = switches(pid)
    return sum(after[t] - before[t] for t in before if t in after) / seconds


def test_a_new_guest_writes_little_and_sleeps(banger, vm):
    def guest(command):
        return banger.ok("vm", "exec", vm, "--", "sh", "-c", command).out

    for where in ("/", "/root"):
        options = guest(f"findmnt -no OPTIONS {where}").strip().split(",")
        assert "noinit_itable" in options, "the kernel may not write zeroes over what reads as zero"
        assert "noatime" in options
    guest("systemctl is-system-running --wait; sync")
    written = [int(w) for w in guest("for p in / /root; do d=$(basename $(findmnt -no SOURCE $p)); "
                                     "cat /sys/fs/ext4/$d/lifetime_write_kbytes; done").split()]
    assert max(written) < LIFETIME_KIB, f"KiB written to / and /root: {written}; is the image an old one?"
    # The best of three looks: other work on the host makes more wake-ups, never fewer.
    pid = banger.json("vm", "show", vm)["pid"]
    seen = [wakes(pid, QUIET_S / 2)]
    while min(seen) > WAKES and len(seen) < 3:
        seen.append(wakes(pid, QUIET_S))
    assert min(seen) <= WAKES, f"QEMU was woken {seen} times a second by an idle guest"
