/* SPDX-License-Identifier: ISC */
/*
 * vm_commit.h: the disks of a stopped VM become an image (`image commit`). An operation of the image's name; a VM that is
 * used meanwhile makes it fail.
 */
#ifndef BG_DAEMON_VM_VM_COMMIT_H
#define BG_DAEMON_VM_VM_COMMIT_H

#include "common/err.h"

struct engine;
struct op;
struct vm;

int vm_commit(struct engine *engine, const char *name, struct vm *vm, struct op **ret,
	struct bg_err **err);

#endif
