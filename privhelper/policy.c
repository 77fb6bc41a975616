/* SPDX-License-Identifier: ISC */
/*
 * policy.c: A parser by hand for a file of a few lines; a line that it does not know makes the
 * file invalid.
 */
#include "privhelper/policy.h"

#include <stdio.h>

#include "privhelper/trusted.h"

static const struct policy defaults = {.pool = 0x0ad10000,
	.slots_per_user = 64,
	.max_users = BG_PRIV_USERS_MAX,
	.flows_per_guest = 4096,
	.min_uid = 1000};

enum { FLOWS_MAX = 1000000, UID_MAX = 60000 };

/* The part of a line that is left to read. */
struct cursor {
	const char *p, *end;
};

static void skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

static bool take_char(struct cursor *c, char ch)
{
	if (c->p >= c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

/* Decimal digits only: no sign, no leading zero, at most max. */
static bool take_number(struct cursor *c, unsigned max, unsigned *ret)
{
	const char *start = c->p;
	unsigned v = 0;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
		v = v * 10 + (unsigned)(*c->p++ - '0');
		if (v > max)
			return false;
	}
	if (c->p == start || (*start == '0' && c->p - start > 1))
		return false;
	*ret = v;
	return true;
}

/* A /16 out of which guests can have addresses: no loopback, link-local, multicast. */
static bool take_pool(struct cursor *c, uint32_t *ret)
{
	unsigned a, b, zero, bits;

	if (!take_number(c, 223, &a) || !take_char(c, '.') || !take_number(c, 255, &b) ||
		!take_char(c, '.') || !take_number(c, 0, &zero) || !take_char(c, '.') ||
		!take_number(c, 0, &zero) || !take_char(c, '/') || !take_number(c, 16, &bits))
		return false;
	if (bits != 16 || a == 0 || a == 127 || (a == 169 && b == 254))
		return false;
	*ret = a << 24 | b << 16;
	return true;
}

static bool take_yes_no(struct cursor *c, bool *ret)
{
	size_t left = (size_t)(c->end - c->p);

	*ret = left >= 3 && memcmp(c->p, "yes", 3) == 0;
	if (!*ret && (left < 2 || memcmp(c->p, "no", 2) != 0))
		return false;
	c->p += *ret ? 3 : 2;
	return true;
}

static const struct key {
	const char *name;
	enum { POOL, YES_NO, NUMBER } kind;
	size_t at;    /* in struct policy */
	unsigned max; /* of a number, from 1 on */
} keys[] = {
	{"pool", POOL, offsetof(struct policy, pool)},
	{"slots_per_user", NUMBER, offsetof(struct policy, slots_per_user), BG_SLOTS_MAX},
	{"max_users", NUMBER, offsetof(struct policy, max_users), BG_PRIV_USERS_MAX},
	{"mount", YES_NO, offsetof(struct policy, mount)},
	{"keeper", YES_NO, offsetof(struct policy, keeper)},
	{"flows_per_guest", NUMBER, offsetof(struct policy, flows_per_guest), FLOWS_MAX},
	{"min_uid", NUMBER, offsetof(struct policy, min_uid), UID_MAX},
};

/* NULL: not one of them. */
static const struct key *take_key(struct cursor *c)
{
	const char *start = c->p;

	while (c->p < c->end && ((*c->p >= 'a' && *c->p <= 'z') || *c->p == '_'))
		c->p++;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strlen(keys[i].name) == (size_t)(c->p - start) &&
			memcmp(keys[i].name, start, (size_t)(c->p - start)) == 0)
			return &keys[i];
	return NULL;
}

static bool take_value(struct cursor *c, const struct key *key, struct policy *p)
{
	void *to = (uint8_t *)p + key->at;

	if (key->kind == POOL)
		return take_pool(c, to);
	if (key->kind == YES_NO)
		return take_yes_no(c, to);
	return take_number(c, key->max, to) && *(unsigned *)to >= 1;
}

static bool parse_line(struct cursor c, struct policy *p, bool seen[ARRAY_SIZE(keys)])
{
	const struct key *key;

	skip_blanks(&c);
	if (c.p == c.end || *c.p == '#')
		return true;
	key = take_key(&c);
	if (!key || seen[key - keys])
		return false;
	seen[key - keys] = true;
	skip_blanks(&c);
	if (!take_char(&c, '='))
		return false;
	skip_blanks(&c);
	if (!take_value(&c, key, p))
		return false;
	skip_blanks(&c);
	return c.p == c.end;
}

int policy_parse(const char *text, size_t len, struct policy *ret)
{
	bool seen[ARRAY_SIZE(keys)] = {false};
	struct policy p = defaults;

	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		if (!parse_line((struct cursor){text, text + n}, &p, seen))
			return -EINVAL;
		n += nl ? 1 : 0;
		text += n;
		len -= n;
	}
	*ret = p;
	return 0;
}

enum priv_code policy_load(struct policy *ret)
{
	_close_ int fd = trusted_open(POLICY_PATH, TRUSTED_FILE_READ);
	char text[POLICY_FILE_MAX + 1];
	ssize_t n;

	if (fd == -ENOENT) {
		*ret = defaults;
		return PRIV_CODE_OK;
	}
	if (fd < 0)
		return PRIV_CODE_CONFIG;
	n = pread(fd, text, sizeof(text), 0);
	if (n < 0 || n > POLICY_FILE_MAX)
		return PRIV_CODE_CONFIG;
	return policy_parse(text, (size_t)n, ret) < 0 ? PRIV_CODE_CONFIG : PRIV_CODE_OK;
}

uint32_t policy_gateway(const struct policy *p, unsigned index)
{
	return p->pool | index << 8 | 1;
}

uint32_t policy_guest(const struct policy *p, unsigned index, unsigned slot)
{
	return p->pool | index << 8 | (slot + 2);
}

void policy_mac(unsigned index, unsigned slot, uint8_t ret[6])
{
	const uint8_t mac[6] = {0x02, 0x62, 0x67, 0x00, (uint8_t)index, (uint8_t)slot};

	memcpy(ret, mac, sizeof(mac));
}

void policy_tap_name(unsigned index, unsigned slot, char ret[PRIV_NAME])
{
	memset(ret, 0, PRIV_NAME);
	(void)snprintf(ret, PRIV_NAME, "bgr%u-%u", index & 0xff, slot & 0x3f);
}
