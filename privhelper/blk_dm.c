/* SPDX-License-Identifier: ISC */
/* See blk.h: device-mapper devices by its ioctls (linux/dm-ioctl.h, version 4). No libdevmapper: it
 * wants udev's cookies, semaphores and a lock folder. */
#include <linux/dm-ioctl.h>
#include <linux/major.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "privhelper/blk.h"

enum { BUFFER = 4096, PARAMS = 128, CHUNK_SECTORS = 8 };

/* udev's flags of a device, which the kernel passes on as DM_COOKIE (libdevmapper.h): no links, no
 * scanning, nobody's business but ours. */
enum { UDEV_SHIFT = 16, UDEV_LEAVE_ALONE = 0x0f };

union request {
	struct dm_ioctl head;
	uint8_t bytes[BUFFER];
};

static void prepare(union request *q, const char *name, const char *uuid, uint32_t flags)
{
	memset(q, 0, sizeof(*q));
	q->head.version[0] = DM_VERSION_MAJOR;
	q->head.data_size = sizeof(*q);
	q->head.data_start = sizeof(struct dm_ioctl);
	q->head.flags = flags;
	if (name)
		(void)snprintf(q->head.name, sizeof(q->head.name), "%s", name);
	if (uuid)
		(void)snprintf(q->head.uuid, sizeof(q->head.uuid), "%s", uuid);
}

static int call(const struct blk_host *h, unsigned long cmd, union request *q)
{
	return ioctl(h->dm_control, cmd, q) < 0 ? -errno : 0;
}

static bool is_active(const struct dm_ioctl *head)
{
	return (head->flags & DM_ACTIVE_PRESENT_FLAG) && !(head->flags & DM_SUSPEND_FLAG);
}

/* Has the kernel load the module that it is in, too. */
bool blk_dm_has_target(const struct blk_host *h, const char *type)
{
	union request q;

	prepare(&q, type, NULL, 0);
	return call(h, DM_GET_TARGET_VERSION, &q) >= 0;
}

int blk_dm_find(const struct blk_host *h, const char *uuid, struct blk_state *ret)
{
	union request q;
	int r;

	prepare(&q, NULL, uuid, 0);
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
	union request q;
	int r;

	prepare(&q, name, NULL, 0);
	r = call(h, DM_DEV_STATUS, &q);
	if (r >= 0)
		(void)snprintf(ret, BLK_UUID, "%.*s", BLK_UUID - 1, q.head.uuid);
	return r;
}

int blk_dm_create(const struct blk_host *h, const struct blk_id *id)
{
	union request q;
	int r;

	prepare(&q, id->name, id->uuid, 0);
	r = call(h, DM_DEV_CREATE, &q);
	return r == -EBUSY ? -EEXIST : r;
}

/* Where the next target's specification goes; *at is its offset in the request. */
static void add_target(union request *q, size_t *at, uint64_t start, uint64_t length,
	const char *type, const char *params)
{
	struct dm_target_spec spec = {.sector_start = start, .length = length};
	size_t size = sizeof(spec) + strlen(params) + 1;

	size = (size + 7) / 8 * 8;
	spec.next = (uint32_t)size;
	(void)snprintf(spec.target_type, sizeof(spec.target_type), "%s", type);
	memcpy(q->bytes + *at, &spec, sizeof(spec));
	memcpy(q->bytes + *at + sizeof(spec), params, strlen(params) + 1);
	*at += size;
	q->head.target_count++;
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
	union request q;

	prepare(&q, NULL, uuid, 0);
	snapshot_params(t, true, params);
	add_target(&q, &at, 0, t->base_sectors, "snapshot", params);
	if (t->tail_sectors) {
		(void)snprintf(params, sizeof(params), "%d:%u 0", LOOP_MAJOR, t->tail);
		add_target(&q, &at, t->base_sectors, t->tail_sectors, "linear", params);
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
	char expected[PARAMS], *params;
	struct dm_target_spec spec;
	union request q;
	size_t at, len;
	int r;

	prepare(&q, NULL, uuid, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG);
	r = call(h, DM_TABLE_STATUS, &q);
	if (r < 0)
		return r;
	at = q.head.data_start;
	if (q.head.target_count < 1 || at > sizeof(q) - sizeof(spec) - PARAMS)
		return -EUCLEAN;
	memcpy(&spec, q.bytes + at, sizeof(spec));
	params = (char *)q.bytes + at + sizeof(spec);
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
	union request q;
	int r = load(h, uuid, table);

	if (r >= 0)
		r = check_loaded(h, uuid, table);
	if (r < 0)
		return r;
	/* Suspend without the flag is resume: the table becomes active. */
	prepare(&q, NULL, uuid, 0);
	q.head.event_nr = (uint32_t)UDEV_LEAVE_ALONE << UDEV_SHIFT;
	r = call(h, DM_DEV_SUSPEND, &q);
	if (r >= 0)
		*ret_minor = minor(q.head.dev);
	return r;
}

int blk_dm_remove(const struct blk_host *h, const char *uuid)
{
	union request q;

	prepare(&q, NULL, uuid, 0);
	q.head.event_nr = (uint32_t)UDEV_LEAVE_ALONE << UDEV_SHIFT;
	return call(h, DM_DEV_REMOVE, &q);
}
