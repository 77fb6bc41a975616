/* SPDX-License-Identifier: ISC */
/* copy_state.c: One letter for the type, then the digest of what there is. */
#include "common/copy_state.h"

#define DIGITS ((size_t)BG_SHA256_HEX - 1)

static bool hashed(char type)
{
	return type == 'f' || type == 'l';
}

char *bg_copy_state_text(const struct bg_copy_state *s, char out[BG_COPY_TEXT])
{
	out[0] = s->type;
	strcpy(out + 1, hashed(s->type) ? s->hash : "");
	return out;
}

bool bg_copy_state_take(const char **text, struct bg_copy_state *ret)
{
	const char *p = *text;

	*ret = (struct bg_copy_state){.type = *p};
	if (!*p || !strchr(BG_COPY_TYPES, *p++))
		return false;
	if (hashed(ret->type)) {
		if (strspn(p, "0123456789abcdef") != DIGITS)
			return false;
		memcpy(ret->hash, p, DIGITS);
		p += DIGITS;
	}
	*text = p;
	return true;
}

static bool same(const struct bg_copy_state *a, const struct bg_copy_state *b)
{
	return a->type == b->type && bg_streq(a->hash, b->hash);
}

bool bg_copy_loses(const struct bg_copy_state *there, const struct bg_copy_state *before,
	const struct bg_copy_state *now)
{
	if (there->type == '-' || same(there, before) || same(there, now))
		return false;
	if (there->type == 'e')
		return !hashed(now->type);
	/* A directory that only has to be there, or that goes only when it is empty, loses nothing.
	 */
	return there->type != 'd' || (now->type == '-' ? before : now)->type != 'd';
}
