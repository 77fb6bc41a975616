# SPDX-License-Identifier: ISC
"""What a VM costs while nobody uses it: what its guest writes by itself, and how often it wakes QEMU; that its cost is told right."""
from idle import LIFETIME, cpu_seconds, looks

LIFETIME_KIB = 6000  # each of / and /root, from the making of the image on
WAKES = 30  # a second; with a timer that ticks for nobody it was 58; long after the boot it is two to four


def test_a_new_guest_writes_little_and_sleeps(banger, vm):
    def guest(command):
        return banger.ok("vm", "exec", vm, "--", "sh", "-c", command).out

    for where in ("/", "/root"):
        options = guest(f"findmnt -no OPTIONS {where}").strip().split(",")
        assert "noinit_itable" in options, "the kernel may not write zeroes over what reads as zero"
        assert "noatime" in options
    guest("systemctl is-system-running --wait; sync")
    written = [int(w) for w in guest(LIFETIME).split()]
    assert len(written) == 2 and max(written) < LIFETIME_KIB, f"KiB written to / and /root: {written}; is the image an old one?"
    pid = banger.json("vm", "show", vm)["pid"]
    seen = looks(pid, WAKES)
    assert min(seen) <= WAKES, f"QEMU was woken {seen} times a second by an idle guest"
    # What is told of it on the host, since its start.
    guest("head -c 16M /dev/urandom >/written; sync; rm /written")
    low = cpu_seconds(pid)
    for host in (banger.json("vm", "stats", vm)["host"], *(row["host"] for row in banger.json("top", "--once") if row["name"] == vm)):
        assert low - 0.02 <= host["cpu_seconds"] <= cpu_seconds(pid) + 0.02, host
        assert host["written_bytes"] >= 16 << 20, host
