/* SPDX-License-Identifier: ISC */
/* See tar_head.h. Numbers are octal text, or big-endian with the top bit set (GNU) where they are
 * too large. */
#include "common/tar_head.h"

#include <stdio.h>

void tar_entry_done(struct tar_entry *e)
{
	free(e->path);
	free(e->link);
	*e = (struct tar_entry){0};
}

static void put_number(char *field, size_t size, uint64_t n)
{
	for (size_t i = size - 1; i-- > 0; n >>= 3)
		field[i] = (char)('0' + (n & 7));
	field[size - 1] = '\0';
}

static unsigned checksum(const struct tar_head *h)
{
	const uint8_t *p = (const uint8_t *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++) {
		bool in_sum =
			i >= offsetof(struct tar_head, sum) && i < offsetof(struct tar_head, type);

		sum += in_sum ? ' ' : p[i];
	}
	return sum;
}

void tar_head_make(struct tar_head *h, const struct tar_entry *e)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->name, e->path, BG_MIN(strlen(e->path), sizeof(h->name)));
	if (e->link)
		memcpy(h->link, e->link, BG_MIN(strlen(e->link), sizeof(h->link)));
	put_number(h->mode, sizeof(h->mode), e->mode & 07777);
	put_number(h->uid, sizeof(h->uid), e->uid);
	put_number(h->gid, sizeof(h->gid), e->gid);
	put_number(h->size, sizeof(h->size), e->size);
	put_number(h->mtime, sizeof(h->mtime), e->mtime > 0 ? (uint64_t)e->mtime : 0);
	put_number(h->major, sizeof(h->major), e->major);
	put_number(h->minor, sizeof(h->minor), e->minor);
	h->type = e->type;
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	put_number(h->sum, 7, checksum(h));
	h->sum[7] = ' ';
}

bool tar_head_is_zero(const struct tar_head *h)
{
	static const struct tar_head zero;

	return memcmp(h, &zero, sizeof(zero)) == 0;
}

static bool big_number(const char *field, size_t size, uint64_t *ret)
{
	uint64_t n = (uint8_t)field[0] & 0x7f;

	for (size_t i = 1; i < size; i++) {
		if (n >> 55)
			return false;
		n = n << 8 | (uint8_t)field[i];
	}
	*ret = n;
	return true;
}

static bool get_number(const char *field, size_t size, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80)
		return big_number(field, size, ret);
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		n = n << 3 | (uint64_t)(field[i] - '0');
	*ret = n;
	return i == size || field[i] == '\0' || field[i] == ' ';
}

static char *head_path(const struct tar_head *h)
{
	bool ustar = memcmp(h->magic, "ustar\0", 6) == 0 && h->prefix[0];
	char *path = NULL;

	if (asprintf(&path, "%.*s%s%.*s", ustar ? (int)sizeof(h->prefix) : 0, h->prefix,
		    ustar ? "/" : "", (int)sizeof(h->name), h->name) < 0)
		return NULL;
	return path;
}

static bool field(const char *text, size_t size, bool given, uint64_t *ret)
{
	return given || get_number(text, size, ret);
}

int tar_head_read(const struct tar_head *h, struct tar_entry *e)
{
	uint64_t sum = 0, mode = 0, mtime = (uint64_t)e->mtime, major = 0, minor = 0;

	if (!get_number(h->sum, sizeof(h->sum), &sum) || sum != checksum(h) ||
		!get_number(h->mode, sizeof(h->mode), &mode) ||
		!field(h->uid, sizeof(h->uid), e->given & TAR_G_UID, &e->uid) ||
		!field(h->gid, sizeof(h->gid), e->given & TAR_G_GID, &e->gid) ||
		!field(h->size, sizeof(h->size), e->given & TAR_G_SIZE, &e->size) ||
		!field(h->mtime, sizeof(h->mtime), e->given & TAR_G_MTIME, &mtime) ||
		e->size > INT64_MAX)
		return -EPROTO;
	/* Some writers leave the numbers of devices empty where there are none. */
	(void)get_number(h->major, sizeof(h->major), &major);
	(void)get_number(h->minor, sizeof(h->minor), &minor);
	e->mode = (unsigned)mode & 07777;
	e->mtime = (int64_t)mtime;
	e->major = (unsigned)major;
	e->minor = (unsigned)minor;
	e->type = h->type == '\0' || h->type == '7' ? '0' : h->type;
	if (!e->path)
		e->path = head_path(h);
	if (!e->link)
		e->link = strndup(h->link, sizeof(h->link));
	return e->path && e->link ? 0 : -ENOMEM;
}

static int set_text(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

/* Seconds, which may be before 1970, and what of a fraction a file system keeps. */
static void set_time(struct tar_entry *e, const char *value)
{
	bool before = *value == '-';
	char *end = NULL;
	uint32_t ns = 0, unit = 1000 * 1000 * 1000;
	long long s;

	errno = 0;
	s = strtoll(value, &end, 10);
	if (errno || end == value)
		s = 0;
	for (const char *p = *end == '.' ? end + 1 : ""; *p >= '0' && *p <= '9' && unit > 1; p++) {
		unit /= 10;
		ns += (uint32_t)(*p - '0') * unit;
	}
	e->mtime = before && ns ? s - 1 : s;
	e->mtime_ns = before && ns ? 1000 * 1000 * 1000 - ns : ns;
}

/* A fraction is passed over. */
static int set_number(uint64_t *field, const char *value)
{
	char *end = NULL;

	if (*value < '0' || *value > '9')
		return -EPROTO;
	errno = 0;
	*field = strtoull(value, &end, 10);
	return errno || (*end && *end != '.') || *field > INT64_MAX ? -EPROTO : 0;
}

static int set_record(struct tar_entry *e, const char *key, const char *value)
{
	if (bg_streq(key, "path") && !e->sparse)
		return set_text(&e->path, value);
	if (bg_streq(key, "linkpath"))
		return set_text(&e->link, value);
	if (bg_streq(key, "size")) {
		e->given |= TAR_G_SIZE;
		return set_number(&e->size, value);
	}
	if (bg_streq(key, "uid")) {
		e->given |= TAR_G_UID;
		return set_number(&e->uid, value);
	}
	if (bg_streq(key, "gid")) {
		e->given |= TAR_G_GID;
		return set_number(&e->gid, value);
	}
	if (bg_streq(key, "mtime")) {
		e->given |= TAR_G_MTIME;
		set_time(e, value);
	}
	if (bg_streq(key, "GNU.sparse.name")) {
		e->sparse = true;
		return set_text(&e->path, value);
	}
	if (bg_streq(key, "GNU.sparse.realsize"))
		return set_number(&e->real_size, value);
	/* The older kinds have no map in the data. */
	if (bg_streq(key, "GNU.sparse.major") && !bg_streq(value, "1"))
		return -EPROTO;
	return 0;
}

int tar_pax_read(const char *text, size_t len, struct tar_entry *e)
{
	while (len > 0) {
		const char *digits = text;
		_free_ char *record = NULL;
		size_t n = 0, skip;
		char *equals;
		int r;

		while (digits < text + len && *digits >= '0' && *digits <= '9' && n < TAR_EXTRA_MAX)
			n = n * 10 + (size_t)(*digits++ - '0');
		skip = (size_t)(digits - text) + 1;
		if (n > len || n < skip + 2 || *digits != ' ' || text[n - 1] != '\n')
			return -EPROTO;
		record = strndup(text + skip, n - skip - 1);
		equals = record ? strchr(record, '=') : NULL;
		if (!equals)
			return record ? -EPROTO : -ENOMEM;
		*equals = '\0';
		r = set_record(e, record, equals + 1);
		if (r < 0)
			return r;
		text += n;
		len -= n;
	}
	return 0;
}

/* The length counts its own digits. */
size_t tar_pax_put(char *out, size_t size, const char *key, const char *value)
{
	size_t body = strlen(key) + strlen(value) + 3, digits = 1, power = 10;

	while (body + digits >= power) {
		digits++;
		power *= 10;
	}
	return (size_t)snprintf(out, size, "%zu %s=%s\n", body + digits, key, value);
}
