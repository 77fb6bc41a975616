/* SPDX-License-Identifier: ISC */
/*
 * dm_request.h: one request to device-mapper by its ioctls (linux/dm-ioctl.h, version 4). No libdevmapper: it
 * wants udev's cookies, semaphores and a lock folder. Used by the disk helper on the host and by banger-init in the guest.
 */
#ifndef BG_COMMON_DM_REQUEST_H
#define BG_COMMON_DM_REQUEST_H

#include <linux/dm-ioctl.h>
#include <sys/ioctl.h> /* which its numbers need */

#include "common/base.h"

enum { BG_DM_BUFFER = 4096 };

union bg_dm_request {
	struct dm_ioctl head;
	uint8_t bytes[BG_DM_BUFFER];
};

/* An empty request about the device of this name or uuid (one of them may be NULL). */
void bg_dm_prepare(union bg_dm_request *q, const char *name, const char *uuid, uint32_t flags);
/* Sectors; *at is where the next target goes, from sizeof(struct dm_ioctl) on. There must be room. */
void bg_dm_add_target(union bg_dm_request *q, size_t *at, uint64_t start, uint64_t length,
	const char *type, const char *params);
/* control: /dev/mapper/control. 0 or -errno. */
int bg_dm_call(int control, unsigned long cmd, union bg_dm_request *q);
/* After DM_TABLE_STATUS: the first target, and its text inside q. -EUCLEAN: there is none. */
int bg_dm_first_target(
	const union bg_dm_request *q, struct dm_target_spec *ret, const char **ret_text);

#endif
