/* SPDX-License-Identifier: ISC */
/* See trim_plan.h. */
#include "guest/trim_plan.h"

void trim_plan_free(struct trim_plan *p)
{
	free(p->low);
	*p = (struct trim_plan){0};
}

static uint64_t sum(const struct ext4_group *groups, uint32_t n)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		total += groups[i].free;
	return total;
}

static int resize(struct trim_plan *p, const struct ext4_group *groups, uint32_t n)
{
	uint32_t *low = reallocarray(p->low, n, sizeof(*low));

	if (!low)
		return -ENOMEM;
	for (uint32_t i = p->n; i < n; i++) {
		low[i] = groups[i].free;
		p->free += groups[i].free;
	}
	p->low = low;
	p->n = n;
	return 0;
}

int trim_plan_look(
	struct trim_plan *p, const struct ext4_group *groups, uint32_t n, uint64_t written)
{
	if (p->n == 0)
		p->written = written;
	if (n > p->n && resize(p, groups, n) < 0)
		return -ENOMEM;
	p->n = n;
	for (uint32_t i = 0; i < n; i++)
		p->low[i] = BG_MIN(p->low[i], groups[i].free);
	return 0;
}

uint64_t trim_plan_gain(
	struct trim_plan *p, const struct ext4_group *groups, uint32_t block_size, uint64_t written)
{
	uint64_t known = 0, now = sum(groups, p->n), explained, more = written - p->written;

	for (uint32_t i = 0; i < p->n; i++)
		known += groups[i].free - p->low[i];
	explained = (known + (p->free > now ? p->free - now : 0)) * block_size;
	p->all = more > explained && more - explained >= TRIM_GUESS;
	return known * block_size + (p->all ? more - explained : 0);
}

bool trim_plan_wants(const struct trim_plan *p, const struct ext4_group *groups, uint32_t group,
	uint32_t block_size)
{
	uint64_t gain = (uint64_t)(groups[group].free - p->low[group]) * block_size;

	return gain >= TRIM_EXTENT || (p->all && !groups[group].untouched);
}

void trim_plan_done(struct trim_plan *p, const struct ext4_group *groups, uint64_t written)
{
	for (uint32_t i = 0; i < p->n; i++)
		p->low[i] = groups[i].free;
	p->free = sum(groups, p->n);
	p->written = written;
	p->all = false;
}
