/* SPDX-License-Identifier: ISC */
/* legacy.c: getsockopt(IPT_SO_GET_ENTRIES) and a bounded walk over what it returns. */
#include "privhelper/legacy.h"

/* libc's first: the kernel's headers then leave out what they have in common. */
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>

static const char table[] = "filter", taps[] = "bgr";

int legacy_open(struct legacy *l)
{
	l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return l->fd < 0 ? -errno : 0;
}

/* -ENOPROTOOPT where ip_tables is not there; it is not loaded for the question. */
static int get_info(const struct legacy *l, struct ipt_getinfo *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = (struct ipt_getinfo){0};
	memcpy(ret->name, table, sizeof(table));
	return getsockopt(l->fd, IPPROTO_IP, IPT_SO_GET_INFO, ret, &len) < 0 ? -errno : 0;
}

static int get_entries(struct legacy *l, uint32_t size)
{
	struct ipt_get_entries *get = (void *)l->entries;
	socklen_t len = (socklen_t)(sizeof(*get) + size);

	if (size > sizeof(l->entries) - sizeof(*get))
		return -E2BIG;
	memset(get, 0, sizeof(*get));
	memcpy(get->name, table, sizeof(table));
	get->size = size;
	return getsockopt(l->fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, get, &len) < 0 ? -errno : 0;
}

/* NULL when there is no whole entry at that place. */
static const struct ipt_entry *entry_at(const struct legacy *l, uint32_t size, uint32_t at)
{
	const struct ipt_entry *e =
		(const void *)(l->entries + sizeof(struct ipt_get_entries) + at);

	if (at % __alignof__(*e) || at > size || size - at < sizeof(*e) ||
		e->next_offset > size - at || e->target_offset < sizeof(*e) ||
		e->target_offset + sizeof(struct xt_entry_target) > e->next_offset)
		return NULL;
	return e;
}

/* verdict as in the kernel: -1 less the NF_* number. */
static bool has_verdict(const struct ipt_entry *e, int verdict)
{
	const struct xt_standard_target *t = (const void *)((const uint8_t *)e + e->target_offset);

	return e->target_offset + sizeof(*t) <= e->next_offset &&
	       t->target.u.user.name[0] == '\0' && t->verdict == verdict;
}

static bool is_taps(const char *name)
{
	return strncmp(name, taps, sizeof(taps) - 1) == 0;
}

bool legacy_drops(struct legacy *l)
{
	struct ipt_getinfo info;
	const struct ipt_entry *e;
	bool in = false, out = false;
	uint32_t at;

	if (get_info(l, &info) < 0)
		return false;
	if (get_entries(l, info.size) < 0)
		return true;
	e = entry_at(l, info.size, info.underflow[NF_INET_FORWARD]);
	if (!e || !has_verdict(e, -NF_DROP - 1))
		return !e;
	for (at = info.hook_entry[NF_INET_FORWARD]; at < info.underflow[NF_INET_FORWARD];
		at += e->next_offset) {
		e = entry_at(l, info.size, at);
		if (!e)
			return true;
		if (!has_verdict(e, -NF_ACCEPT - 1))
			continue;
		in |= is_taps(e->ip.iniface);
		out |= is_taps(e->ip.outiface);
	}
	return !in || !out;
}
