/* SPDX-License-Identifier: ISC */
/*
 * vm_saved.h: what a suspended VM goes on from: a file of its guest's memory and one of its devices' state, in its folder; and in
 * its row ("saved", JSON) what they belong to: their digests, the VMM, this machine, the disks as they lay. The row alone
 * makes them good: it has that only after they are on the disk, and loses it before the guest runs again. Files without it are
 * thrown away.
 */
#ifndef BG_DAEMON_VM_VM_SAVED_H
#define BG_DAEMON_VM_VM_SAVED_H

#include <jansson.h>

#include "common/err.h"

struct vm;
struct vmm_choice;

enum vm_saved_file { VM_SAVED_MEMORY, VM_SAVED_DEVICES, VM_SAVED_FILES };
enum { VM_SAVED_WHY = 256 };

/* files: of the job's result; binary: the digest of the VMM's program, exe: that program. The row is not saved. */
int vm_saved_make(
	struct vm *vm, const json_t *files, const char *binary, int exe, struct bg_err **err);
/* Forgets it, and throws the files away. The row is not saved. */
void vm_saved_drop(struct vm *vm);
/* Throws away files that the row says nothing of. */
void vm_saved_sweep(struct vm *vm);

bool vm_saved_is(const struct vm *vm);
/* Bytes that the files take; 0: none. */
uint64_t vm_saved_bytes(const struct vm *vm);
/* Seconds since the epoch; 0: it is not suspended. */
int64_t vm_saved_at(const struct vm *vm);

/*
 * May the VM go on from it, with that VMM? Looks at names, sizes and times only. 1: yes; 0: no, and why, in words that follow
 * "booted from its disks: "; 2: only if the program at choice->binary has the digest that vm_saved_binary tells.
 */
int vm_saved_fits(const struct vm *vm, const struct vmm_choice *choice, char why[VM_SAVED_WHY]);
bool vm_saved_binary_is(const struct vm *vm, const char *digest);
/* After the copy: is that what was saved? */
bool vm_saved_files_are(const struct vm *vm, const json_t *files);
/* Once it has its network again: is the machine the same, and its address? */
bool vm_saved_machine_is(const struct vm *vm, const char *machine, char why[VM_SAVED_WHY]);

#endif
