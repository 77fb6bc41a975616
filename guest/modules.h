/* SPDX-License-Identifier: ISC */
/* modules.h: loads the kernel modules that the initramfs carries, in its order. */
#ifndef BG_GUEST_MODULES_H
#define BG_GUEST_MODULES_H

#include "common/err.h"

/*
 * Loads every line of path, BG_GUEST_MODULES or BG_GUEST_MODULES_DM; *ret_count is how many went in. A module that
 * is there already, or has no such file or device to drive, is passed over; the first other
 * failure is told in err but does not stop the rest. No list is not an error.
 */
int modules_load(const char *path, unsigned *ret_count, struct bg_err **err);

#endif
