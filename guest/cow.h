/* SPDX-License-Identifier: ISC */
/*
 * cow.h: the root as a device-mapper device of two disks, the image's (read-only, shared by its VMs) and the VM's own
 * file (common/disk_layout.h): a snapshot over the image's range, plain blocks behind it. Made by banger-init before it
 * mounts the root, and there until the machine ends; the agent, its child, knows it too, and takes a longer disk in.
 */
#ifndef BG_GUEST_COW_H
#define BG_GUEST_COW_H

#include "common/err.h"
#include "guest/conf.h"

/*
 * Checks both disks, which are there, and the store's header, and joins them. ret_dev: the device's name
 * below /dev. *ret_repaired: a write to the store had failed once, so that what the guest had not synced then is lost.
 * The message says what is missing: a disk, room on it, a store, device-mapper in the kernel.
 */
int cow_join(const struct conf *conf, char ret_dev[CONF_DEV_MAX + 1], bool *ret_repaired,
	struct bg_err **err);
/* The joined device that this disk ("vdb") is the own part of, "dm-0"; NULL when it is of none. */
const char *cow_root_of(const char *disk);
/* The own disk is longer now, and so the joined one. Its file system stands still for a moment. 0 or -errno. */
int cow_lengthen(void);

#endif
