/* SPDX-License-Identifier: ISC */
/*
 * initrd.h: an initramfs out of its parts, archives behind each other. Written by the engine when the parts are small and
 * in the page cache, else by a worker (JOB_INITRD).
 */
#ifndef BG_COMMON_INITRD_H
#define BG_COMMON_INITRD_H

#include "common/base.h"

struct bg_initrd {
	/* an initrd of the user's or -1: the kernel unpacks it first, so that ours wins */
	int first;
	int init;     /* banger-init, not in an archive yet */
	int modules;  /* the kernel's archive or -1 */
	int settings; /* this VM's archive (guest_conf.h) */
};

/* Offsets of the parts are not used. 0 or -errno, and the part that it was. */
int bg_initrd_join(int out_fd, const struct bg_initrd *from, const char **ret_part);

#endif
