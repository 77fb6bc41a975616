/* SPDX-License-Identifier: ISC */
/* See dm_request.h. */
#include "common/dm_request.h"

#include <assert.h>
#include <stdio.h>

void bg_dm_prepare(union bg_dm_request *q, const char *name, const char *uuid, uint32_t flags)
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

void bg_dm_add_target(union bg_dm_request *q, size_t *at, uint64_t start, uint64_t length,
	const char *type, const char *params)
{
	struct dm_target_spec spec = {.sector_start = start, .length = length};
	size_t size = sizeof(spec) + strlen(params) + 1;

	size = (size + 7) / 8 * 8;
	assert(*at + size <= sizeof(*q));
	spec.next = (uint32_t)size;
	(void)snprintf(spec.target_type, sizeof(spec.target_type), "%s", type);
	memcpy(q->bytes + *at, &spec, sizeof(spec));
	memcpy(q->bytes + *at + sizeof(spec), params, strlen(params) + 1);
	*at += size;
	q->head.target_count++;
}

int bg_dm_call(int control, unsigned long cmd, union bg_dm_request *q)
{
	return ioctl(control, cmd, q) < 0 ? -errno : 0;
}

int bg_dm_first_target(
	const union bg_dm_request *q, struct dm_target_spec *ret, const char **ret_text)
{
	size_t at = q->head.data_start;

	if (q->head.target_count < 1 || at >= sizeof(*q) - sizeof(*ret) ||
		!memchr(q->bytes + at + sizeof(*ret), '\0', sizeof(*q) - at - sizeof(*ret)))
		return -EUCLEAN;
	memcpy(ret, q->bytes + at, sizeof(*ret));
	*ret_text = (const char *)q->bytes + at + sizeof(*ret);
	return 0;
}
