/* SPDX-License-Identifier: ISC */
/* See blk.h: device-mapper devices by its ioctls. */
#include <linux/major.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "common/dm_request.h"
#include "privhelper/blk.h"

enum { PARAMS = 128, CHUNK_SECTORS = 8 };

/* udev's flags of a device, which the kernel passes on as DM_COOKIE (libdevmapper.h): no links, no
 * scanning, nobody's business but ours. */
enum { UDEV_SHIFT = 16, UDEV_LEAVE_ALONE = 0x0f };

static int call(const struct blk_host *h, unsigned long cmd, union bg_dm_request *q)
{
	return bg_dm_call(h->dm_control, cmd, q);
}

static bool is_active(const struct dm_ioctl *head)
{
	return (head->flags & DM_ACTIVE_PRESENT_FLAG) && !(head->flags & DM_SUSPEND_FLAG);
}

/* Has the kernel load the module that it is in, too. */
bool blk_dm_has_target(const struct blk_host *h, const char *type)
{
	union bg_dm_request q;

	bg_dm_prepare(&q, type, NULL, 0);
	return call(h, DM_GET_TARGET_VERSION, &q) >= 0;
}

int blk_dm_find(const struct blk_host *h, const char *uuid, struct blk_state *ret)
{
	union bg_dm_request q;
	int r;

	bg_dm_prepare(&q, NULL, uuid, 0);
	r = call(h, DM_DEV_STATUS, &q);
	if (r < 0)
		return r;
	*ret = (struct blk_state){.minor = minor(q.head.dev),
		.open = q.head.open_count > 0,
		.active = is_active(&q.head)};
	return 0;
}

int blk_dm_uuid(const struct blk_host *h, const char *name, char ret[BLK_UUID])
{
	union bg_dm_request q;
	int r;

	bg_dm_prepare(&q, name, NULL, 0);
	r = call(h, DM_DEV_STATUS, &q);
	if (r >= 0)
		(void)snprintf(ret, BLK_UUID, "%.*s", BLK_UUID - 1, q.head.uuid);
	return r;
}

int blk_dm_create(const struct blk_host *h, const struct blk_id *id)
{
	union bg_dm_request q;
	int r;

	bg_dm_prepare(&q, id->name, id->uuid, 0);
	r = call(h, DM_DEV_CREATE, &q);
	return r == -EBUSY ? -EEXIST : r;
}

/* P: the store outlives the device. A discarded chunk's room in the store is given back. */
static void snapshot_params(const struct blk_table *t, bool features, char ret[PARAMS])
{
	(void)snprintf(ret, PARAMS, "%d:%u %d:%u P %d%s", LOOP_MAJOR, t->base, LOOP_MAJOR, t->store,
		CHUNK_SECTORS, features ? " 1 discard_zeroes_cow" : "");
}

static int load(const struct blk_host *h, const char *uuid, const struct blk_table *t)
{
	size_t at = sizeof(struct dm_ioctl);
	char params[PARAMS];
	union bg_dm_request q;

	bg_dm_prepare(&q, NULL, uuid, 0);
	snapshot_params(t, true, params);
	bg_dm_add_target(&q, &at, 0, t->base_sectors, "snapshot", params);
	if (t->tail_sectors) {
		(void)snprintf(params, sizeof(params), "%d:%u 0", LOOP_MAJOR, t->tail);
		bg_dm_add_target(&q, &at, t->base_sectors, t->tail_sectors, "linear", params);
	}
	return call(h, DM_TABLE_LOAD, &q);
}

/*
 * The overlay is the user's file, and its header outweighs our table: a chunk size of its own
 * would have the kernel take a buffer of that size. It was checked before, but the user can write
 * to it at any time; so the kernel is asked what it took.
 */
static int check_loaded(const struct blk_host *h, const char *uuid, const struct blk_table *t)
{
	char expected[PARAMS];
	struct dm_target_spec spec;
	union bg_dm_request q;
	const char *params;
	size_t len;
	int r;

	bg_dm_prepare(&q, NULL, uuid, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG);
	r = call(h, DM_TABLE_STATUS, &q);
	if (r >= 0)
		r = bg_dm_first_target(&q, &spec, &params);
	if (r < 0)
		return r;
	snapshot_params(t, false, expected);
	len = strlen(expected);
	if (!bg_streq(spec.target_type, "snapshot") || strncmp(params, expected, len) != 0 ||
		(params[len] != '\0' && params[len] != ' '))
		return -EUCLEAN;
	return 0;
}

int blk_dm_activate(const struct blk_host *h, const char *uuid, const struct blk_table *table,
	unsigned *ret_minor)
{
	union bg_dm_request q;
	int r = load(h, uuid, table);

	if (r >= 0)
		r = check_loaded(h, uuid, table);
	if (r < 0)
		return r;
	/* Suspend without the flag is resume: the table becomes active. */
	bg_dm_prepare(&q, NULL, uuid, 0);
	q.head.event_nr = (uint32_t)UDEV_LEAVE_ALONE << UDEV_SHIFT;
	r = call(h, DM_DEV_SUSPEND, &q);
	if (r >= 0)
		*ret_minor = minor(q.head.dev);
	return r;
}

int blk_dm_remove(const struct blk_host *h, const char *uuid)
{
	union bg_dm_request q;

	bg_dm_prepare(&q, NULL, uuid, 0);
	q.head.event_nr = (uint32_t)UDEV_LEAVE_ALONE << UDEV_SHIFT;
	return call(h, DM_DEV_REMOVE, &q);
}
