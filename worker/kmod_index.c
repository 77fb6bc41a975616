/* SPDX-License-Identifier: ISC */
/* See kmod_index.h. The tree is never built: it is read off the sorted keys. */
#include "worker/kmod_index.h"

#include <endian.h>

#define MAGIC	0xb007f457u
#define VERSION 0x00020001u
#define PREFIX	0x80000000u
#define VALUES	0x40000000u
#define CHILDS	0x20000000u
#define MASK	0x0fffffffu
#define KEY_MAX 1000 /* also bounds the recursion below */

struct row {
	char *key, *value;
	uint32_t priority;
};

struct kmod_index {
	struct row *v;
	size_t n, room;
};

int kmod_index_new(struct kmod_index **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void kmod_index_free(struct kmod_index *ix)
{
	if (!ix)
		return;
	for (size_t i = 0; i < ix->n; i++) {
		free(ix->v[i].key);
		free(ix->v[i].value);
	}
	free(ix->v);
	free(ix);
}

static bool usable(const char *key)
{
	for (const char *p = key; *p; p++)
		if ((unsigned char)*p >= 128)
			return false;
	return strlen(key) <= KEY_MAX;
}

int kmod_index_add(struct kmod_index *ix, const char *key, const char *value, uint32_t priority)
{
	struct row *row;

	if (!usable(key))
		return 0;
	if (ix->n == ix->room) {
		size_t room = ix->room ? ix->room * 2 : 256;
		struct row *v = reallocarray(ix->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		ix->v = v;
		ix->room = room;
	}
	row = &ix->v[ix->n++];
	row->priority = priority;
	row->key = strdup(key);
	row->value = strdup(value);
	return row->key && row->value ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = strcmp(x->key, y->key);

	return r ? r : (x->priority > y->priority) - (x->priority < y->priority);
}

static void put32(struct buf *out, uint32_t v)
{
	v = htobe32(v);
	buf_add(out, &v, sizeof(v));
}

/* How many bytes from depth on all rows share. */
static size_t shared(const struct row *v, size_t n, size_t depth)
{
	const char *a = v[0].key + depth, *b = v[n - 1].key + depth;
	size_t i = 0;

	while (a[i] && a[i] == b[i])
		i++;
	return i;
}

static uint32_t write_node(struct buf *out, const struct row *v, size_t n, size_t depth);

/* The subtrees of rows that are longer than depth; their offsets go by first byte. */
static void write_children(
	struct buf *out, const struct row *v, size_t n, size_t depth, uint32_t *offsets)
{
	size_t i = 0;

	while (i < n) {
		unsigned char c = (unsigned char)v[i].key[depth];
		size_t end = i;

		while (end < n && (unsigned char)v[end].key[depth] == c)
			end++;
		offsets[c] = write_node(out, v + i, end - i, depth + 1);
		i = end;
	}
}

static void put_children(
	struct buf *out, const struct row *v, size_t n, size_t depth, const uint32_t *offsets)
{
	unsigned char first = (unsigned char)v[0].key[depth];
	unsigned char last = (unsigned char)v[n - 1].key[depth];

	buf_add(out, &first, 1);
	buf_add(out, &last, 1);
	for (unsigned c = first; c <= last; c++)
		put32(out, offsets[c]);
}

static uint32_t write_node(struct buf *out, const struct row *v, size_t n, size_t depth)
{
	size_t prefix = n && depth ? shared(v, n, depth) : 0; /* readers expect none at the root */
	size_t at = depth + prefix, ends = 0;
	uint32_t *offsets = calloc(128, sizeof(*offsets));
	uint32_t offset;

	if (!offsets) {
		out->failed = true;
		return 0;
	}
	while (ends < n && v[ends].key[at] == '\0')
		ends++;
	if (ends < n)
		write_children(out, v + ends, n - ends, at, offsets);
	offset = (uint32_t)out->len & MASK;
	if (prefix) {
		offset |= PREFIX;
		buf_add(out, v[0].key + depth, prefix);
		buf_add(out, "", 1);
	}
	if (ends < n) {
		offset |= CHILDS;
		put_children(out, v + ends, n - ends, at, offsets);
	}
	if (ends)
		put32(out, (uint32_t)ends);
	for (size_t i = 0; i < ends; i++) {
		put32(out, v[i].priority);
		buf_add(out, v[i].value, strlen(v[i].value) + 1);
	}
	free(offsets);
	return ends ? offset | VALUES : offset;
}

int kmod_index_write(struct kmod_index *ix, struct buf *out)
{
	uint32_t root;

	if (ix->n)
		qsort(ix->v, ix->n, sizeof(ix->v[0]), compare);
	put32(out, MAGIC);
	put32(out, VERSION);
	put32(out, 0);
	root = htobe32(write_node(out, ix->v, ix->n, 0));
	if (out->len > MASK)
		return -EFBIG;
	if (buf_ok(out) < 0)
		return -ENOMEM;
	memcpy(out->p + 8, &root, sizeof(root));
	return 0;
}
