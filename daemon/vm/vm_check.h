/* SPDX-License-Identifier: ISC */
/*
 * vm_check.h: what is known to fail is refused before anything is made: files of image and kernel that are gone or damaged, more
 * memory than this machine has, a host on which no VM can boot now.
 */
#ifndef BG_DAEMON_VM_VM_CHECK_H
#define BG_DAEMON_VM_VM_CHECK_H

#include "common/err.h"
#include "daemon/store/store.h"

struct op;

/* KERNEL_INVALID: one of its files cannot be read. Looks at names and sizes; does not block. */
int vm_check_kernel(const struct kernel_row *kernel, struct bg_err **err);
/* IMAGE_INVALID: its disks are gone, shorter than they were, or have no ext4 in them. */
int vm_check_image(const struct image_row *image, struct bg_err **err);
/* NAME_INVALID: not a name, or one that is this machine's in every guest: host.vm. */
int vm_check_name(const char *name, struct bg_err **err);
/* VM_LIMITS: more than this machine's memory and swap. */
int vm_check_memory(uint64_t mib, struct bg_err **err);

/*
 * Step of a create that boots, before its first file: is there a VMM, and may this user have a network card? Waits
 * while that is not known yet.
 */
int vm_step_can_boot(struct op *op, void *ctx, struct bg_err **err);

#endif
