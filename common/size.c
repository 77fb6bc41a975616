/* SPDX-License-Identifier: ISC */
/*
 * size.c: Units are powers of 1024. Fractions are read in thousandths, so no floating point is
 * needed.
 */
#include "common/size.h"

#include <stdio.h>

static const char units[] = "KMGTPE"; /* 1024^1 .. 1024^6 bytes */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes of one unit; 0 for a text that is none. */
static uint64_t unit_bytes(const char *s)
{
	const char *u;
	char c = *s;

	if (!c)
		return MIB;
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	u = strchr("KMGT", c);
	s++;
	if (*s == 'i')
		s++;
	if (*s == 'b' || *s == 'B')
		s++;
	return u && !*s ? 1ULL << (10 * (u - "KMGT" + 1)) : 0;
}

/*
 * Thousandths of a unit, so that "1.5" is exact without floating point; at most
 * 9 digits before the point keep the product with 1T below 2^64.
 */
static int parse_milli(const char **s, uint64_t *ret)
{
	uint64_t v = 0;
	int before = 0, after = 0;

	for (; digit(**s); (*s)++, before++)
		if (before < 9)
			v = v * 10 + (uint64_t)(**s - '0');
	if (before == 0 || before > 9)
		return -EINVAL;
	if (**s == '.') {
		for ((*s)++; digit(**s) && after < 3; (*s)++, after++)
			v = v * 10 + (uint64_t)(**s - '0');
		if (after == 0)
			return -EINVAL;
	}
	for (; after < 3; after++)
		v *= 10;
	*ret = v;
	return 0;
}

static int parse_bytes(const char *text, uint64_t *ret)
{
	uint64_t milli = 0, unit, bytes;

	if (parse_milli(&text, &milli) < 0)
		return -EINVAL;
	unit = unit_bytes(text);
	if (unit == 0)
		return -EINVAL;
	if (__builtin_mul_overflow(milli, unit, &bytes))
		return -ERANGE;
	*ret = bytes / 1000;
	return 0;
}

int bg_size_parse_mib(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
	struct bg_err **err)
{
	char lo[BG_SIZE_TEXT], hi[BG_SIZE_TEXT];
	uint64_t bytes = 0;
	int r;

	r = parse_bytes(text, &bytes);
	if (r == -EINVAL) {
		r = bg_err_set(
			err, BG_ERR_USAGE, EINVAL, "%s: \"%.40s\" is not a size", what, text);
		bg_err_hint(err, "write it like 512M, 2G or 1.5G");
		return r;
	}
	if (r < 0 || bytes / MIB < min || bytes > max * MIB)
		return bg_err_set(err, BG_ERR_USAGE, ERANGE, "%s: %.40s is not between %s and %s",
			what, text, bg_size_print_mib(min, lo), bg_size_print_mib(max, hi));
	*ret = bytes / MIB; /* what is less than a MiB is dropped: 1.3G has no exact one */
	return 0;
}

char *bg_size_print(uint64_t bytes, char out[BG_SIZE_TEXT])
{
	uint64_t unit = 1, tenths;
	int u = -1;

	while (bytes / unit >= 1024 && u + 1 < (int)strlen(units)) {
		unit *= 1024;
		u++;
	}
	tenths = bytes / unit * 10 + bytes % unit * 10 / unit;
	if (u < 0)
		snprintf(out, BG_SIZE_TEXT, "%uB", (unsigned)bytes);
	else if (tenths % 10 == 0 || tenths >= 1000)
		snprintf(out, BG_SIZE_TEXT, "%u%c", (unsigned)(tenths / 10), units[u]);
	else
		snprintf(out, BG_SIZE_TEXT, "%u.%u%c", (unsigned)(tenths / 10),
			(unsigned)(tenths % 10), units[u]);
	return out;
}

char *bg_size_print_mib(uint64_t mib, char out[BG_SIZE_TEXT])
{
	return bg_size_print(mib * MIB, out);
}
