/* SPDX-License-Identifier: ISC */
/*
 * policy.c: A parser by hand for a file of a few lines; a line that it does not know makes the
 * file invalid.
 */
#include "privhelper/policy.h"

#include <stdio.h>

#include "privhelper/trusted.h"

enum key {
	KEY_POOL,
	KEY_SLOTS,
	KEY_USERS,
	KEY_MOUNT,
	KEY_KEEPER,
	KEY_FLOWS,
	KEY_MIN_UID,
	KEY_END_
};

static const char *const keys[] = {[KEY_POOL] = "pool",
	[KEY_SLOTS] = "slots_per_user",
	[KEY_USERS] = "max_users",
	[KEY_MOUNT] = "mount",
	[KEY_KEEPER] = "keeper",
	[KEY_FLOWS] = "flows_per_guest",
	[KEY_MIN_UID] = "min_uid"};
_Static_assert(ARRAY_SIZE(keys) == KEY_END_, "one name per key");

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

static bool take_key(struct cursor *c, enum key *ret)
{
	const char *start = c->p;

	while (c->p < c->end && ((*c->p >= 'a' && *c->p <= 'z') || *c->p == '_'))
		c->p++;
	for (unsigned i = 0; i < KEY_END_; i++) {
		if (strlen(keys[i]) == (size_t)(c->p - start) &&
			memcmp(keys[i], start, (size_t)(c->p - start)) == 0) {
			*ret = (enum key)i;
			return true;
		}
	}
	return false;
}

static bool take_value(struct cursor *c, enum key key, struct policy *p)
{
	switch (key) {
	case KEY_POOL:
		return take_pool(c, &p->pool);
	case KEY_SLOTS:
		return take_number(c, BG_SLOTS_MAX, &p->slots_per_user) && p->slots_per_user >= 1;
	case KEY_USERS:
		return take_number(c, BG_PRIV_USERS_MAX, &p->max_users) && p->max_users >= 1;
	case KEY_MOUNT:
		return take_yes_no(c, &p->mount);
	case KEY_KEEPER:
		return take_yes_no(c, &p->keeper);
	case KEY_FLOWS:
		return take_number(c, FLOWS_MAX, &p->flows_per_guest) && p->flows_per_guest >= 1;
	case KEY_MIN_UID:
		return take_number(c, UID_MAX, &p->min_uid) && p->min_uid >= 1;
	case KEY_END_:
		break;
	}
	return false;
}

static bool parse_line(struct cursor c, struct policy *p, bool seen[KEY_END_])
{
	enum key key;

	skip_blanks(&c);
	if (c.p == c.end || *c.p == '#')
		return true;
	if (!take_key(&c, &key) || seen[key])
		return false;
	seen[key] = true;
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
	bool seen[KEY_END_] = {false};
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
