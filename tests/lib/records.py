# SPDX-License-Identifier: ISC
"""Folders of VMs as banger leaves them, with their records (docs/store.md): a state folder with many VMs, made in a moment."""
import json
import os
import zlib


def write_record(folder, kind, rev=1, **columns):
    """kind.rec in the folder: one line of JSON with sorted keys, and its checksum."""
    line = json.dumps({"v": 1, "kind": kind, "rev": rev, **columns}, sort_keys=True, separators=(",", ":")) + "\n"
    path = os.path.join(folder, kind + ".rec")
    with open(path, "w") as f:
        f.write(line + f"crc32 {zlib.crc32(line.encode()):08x}\n")
    os.chmod(path, 0o600)


def make_vms(state, count, image="default", kernel="k", owner=None):
    """count stopped VMs "many0000" and so on, with empty disks; the daemon takes them in at its next start."""
    made = [os.path.join(state, "vms")]
    os.makedirs(made[0], 0o700, exist_ok=True)
    for n in range(count):
        vm_id = f"{n + 1:032x}"
        folder = os.path.join(state, "vms", vm_id)
        os.mkdir(folder, 0o700)
        made.append(folder)
        write_record(folder, "vm", id=vm_id, name=f"many{n:04}", image=image, kernel=kernel, vcpus=2, memory_mib=1024, disk_mib=8192,
                     work_mib=8192, nat=True, storage="copy", created_at=1700000000 + n, host_key_public="ssh-ed25519 " + "A" * 68,
                     has_sshd=True, labels='{"team":"a"}', home_slot=-1)
        for name in ("root.img", "work.img"):
            made.append(os.path.join(folder, name))
            with open(made[-1], "w"):
                pass
        made.append(os.path.join(folder, "vm.rec"))
    for path in made:
        if owner:
            os.chown(path, *owner)
