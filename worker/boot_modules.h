/* SPDX-License-Identifier: ISC */
/*
 * boot_modules.h: the modules that banger-init needs before it can mount the root, as a newc cpio
 * archive for the initramfs: /banger/modules and /banger/modules.dm (load order) and /banger/ko/
 * (common/guest_conf.h).
 */
#ifndef BG_WORKER_BOOT_MODULES_H
#define BG_WORKER_BOOT_MODULES_H

#include "worker/depmod.h"

/*
 * Writes the archive to fd; leaves it empty when the kernel has none of them as a module.
 * *ret_snapshot: dm-snapshot is among them. e is the tree the modules were written to, before ext4_finish. -errno as from ext4_read_file.
 */
int boot_modules_write(
	struct depmod *d, struct ext4 *e, int fd, size_t *ret_count, bool *ret_snapshot);

#endif
