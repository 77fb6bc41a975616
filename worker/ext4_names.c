/* SPDX-License-Identifier: ISC */
/*
 * Memory for the names of an image. Address space for all there may be is reserved at once and
 * opened piece by piece, so that names cost what they are long and never move.
 */
#include <sys/mman.h>

#include "worker/ext4_int.h"

#define STEP	 (1 * MIB) /* opened at once */
#define NODE_MAX (sizeof(struct ext4_node) + 256)

int ext4_names_init(struct ext4 *e)
{
	uint64_t want = (uint64_t)(e->opts.max_entries + 1) * NODE_MAX + STEP;
	void *p;

	e->names_room = BG_MIN((want + STEP - 1) & ~(STEP - 1), EXT4_NAMES_MAX);
	p = mmap(
		NULL, e->names_room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	e->names = p;
	e->names_used = sizeof(uint32_t); /* place 0 is nobody's */
	return 0;
}

void ext4_names_free(struct ext4 *e)
{
	if (e->names)
		(void)munmap(e->names, e->names_room);
	e->names = NULL;
}

int ext4_names_add(struct ext4 *e, size_t len, void **ret)
{
	size_t end = e->names_used + ((len + sizeof(uint32_t) - 1) & ~(sizeof(uint32_t) - 1));

	if (end > e->names_room)
		return -EFBIG;
	if (end > e->names_open) {
		if (mprotect(e->names + e->names_open, STEP, PROT_READ | PROT_WRITE) < 0)
			return -errno;
		e->names_open += STEP;
	}
	*ret = e->names + e->names_used;
	e->names_used = end;
	return 0;
}
