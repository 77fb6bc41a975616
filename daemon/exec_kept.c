/* SPDX-License-Identifier: ISC */
/* exec_kept.c: see exec_kept.h. exec_relay.c calls it. */
#include "daemon/exec_kept.h"

#include <endian.h>

#include "common/agent_proto.h"

int exec_bytes_add(struct exec_bytes *b, const void *bytes, size_t len)
{
	if (b->len == 0)
		b->at = 0;
	if (b->at + b->len + len > b->size && b->at > 0) {
		memmove(b->p, b->p + b->at, b->len);
		b->at = 0;
	}
	if (b->len + len > b->size) {
		size_t size = BG_MAX(b->size * 2, b->len + len);
		uint8_t *p = realloc(b->p, size);

		if (!p)
			return -ENOMEM;
		b->p = p;
		b->size = size;
	}
	if (len > 0)
		memcpy(b->p + b->at + b->len, bytes, len);
	b->len += len;
	return 0;
}

void exec_bytes_drop(struct exec_bytes *b, size_t n)
{
	b->at += n;
	b->len -= n;
}

void exec_bytes_free(struct exec_bytes *b)
{
	free(b->p);
	*b = (struct exec_bytes){.p = NULL};
}

bool exec_kept_id_valid(const char *id)
{
	return id && strlen(id) == EXEC_KEPT_ID && strspn(id, "0123456789abcdef") == EXEC_KEPT_ID;
}

struct exec_kept *exec_kept_new(const char *id)
{
	struct exec_kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	memcpy(kept->id, id, EXEC_KEPT_ID);
	kept->room = BG_AGENT_WINDOW;
	return kept;
}

void exec_kept_free(struct exec_kept *kept)
{
	if (!kept)
		return;
	exec_bytes_free(&kept->out);
	free(kept);
}

static uint32_t number(const void *payload, size_t len)
{
	uint32_t le = 0;

	memcpy(&le, payload, BG_MIN(len, sizeof(le)));
	return le32toh(le);
}

static void draw(struct exec_kept *kept, uint32_t n)
{
	kept->drawn += n;
	exec_bytes_drop(&kept->out, n);
}

int exec_kept_from_guest(
	struct exec_kept *kept, uint16_t type, uint16_t sub, const void *payload, size_t len)
{
	if (type == BG_AGENT_CREDIT && sub == BG_AGENT_IN)
		kept->room += number(payload, len); /* bounded where it passed before */
	return type == BG_AGENT_DATA && sub == BG_AGENT_OUT
		       ? exec_bytes_add(&kept->out, payload, len)
		       : 0;
}

int exec_kept_from_client(
	struct exec_kept *kept, uint16_t type, uint16_t sub, const void *payload, size_t len)
{
	if (type == BG_AGENT_DATA && sub == BG_AGENT_IN) {
		if (len > kept->room)
			return -EPROTO;
		kept->room -= (uint32_t)len;
	}
	if (type == BG_AGENT_CREDIT && sub == BG_AGENT_OUT) {
		if (number(payload, len) > kept->out.len)
			return -EPROTO;
		draw(kept, number(payload, len));
	}
	return 0;
}

uint32_t exec_kept_seen(struct exec_kept *kept, uint64_t seen)
{
	uint32_t owed;

	if (seen < kept->drawn || seen > kept->drawn + kept->out.len)
		return 0;
	owed = (uint32_t)(seen - kept->drawn);
	draw(kept, owed);
	return owed;
}

void exec_kept_head(const struct exec_kept *kept, uint8_t ret[EXEC_KEPT_HEAD])
{
	const uint64_t at = htole64(kept->drawn);
	const uint32_t room = htole32(kept->room), held = htole32((uint32_t)kept->out.len);

	memcpy(ret, &at, 8);
	memcpy(ret + 8, &room, 4);
	memcpy(ret + 12, &held, 4);
}
