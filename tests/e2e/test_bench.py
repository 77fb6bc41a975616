# SPDX-License-Identifier: ISC
"""`banger bench` with a real daemon, VMM and guest: stages add up, the same VMM and kernel start bare, nothing stays."""


def test_one_vm_and_its_bare_vmm(banger):
    before = {vm["name"] for vm in banger.json("vm", "list")}
    record = banger.json("bench", "--count", "1", "--at-once", "1", "--memory", "256M", timeout=590)
    (run,) = record["alone"]["runs"]
    assert run["total"] > 0 and {"disks", "network", "vmm", "boot", "ssh"} <= set(run)
    assert sum(ms for stage, ms in run.items() if stage != "total") <= run["total"] + len(run)
    # A bare kernel has booted: no VM was quicker than that, and this one did more.
    (bare,) = record["bare"]["runs"]
    assert record["bare_error"] is None and bare["total"] > 0, record
    assert record["memory_mib"] == 256 and record["vmm_version"]
    assert {vm["name"] for vm in banger.json("vm", "list")} == before
