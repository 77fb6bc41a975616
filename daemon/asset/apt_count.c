/* SPDX-License-Identifier: ISC */
/* See apt_count.h. The lines are those of apt-get and dpkg in the C locale. */
#include "daemon/asset/apt_count.h"

#include <stdio.h>
#include <stdlib.h>

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* "29.7 MB" as bytes; 0 when it is nothing of the kind. */
static uint64_t size_of(const char *text)
{
	static const struct {
		const char *unit;
		double bytes;
	} units[] = {{" B", 1}, {" kB", 1e3}, {" MB", 1e6}, {" GB", 1e9}};
	char *end;
	double n = strtod(text, &end);

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (end > text && n >= 0 && n < 1e6 && begins(end, units[i].unit))
			return (uint64_t)(n * units[i].bytes);
	return 0;
}

/* "Need to get 29.7 MB of archives.", or "Need to get 1,024 kB/29.7 MB of ..." of which some are there. */
static void need(struct apt_count *c, const char *rest)
{
	c->bytes_total += size_of(rest);
	c->installs = false;
}

/* "Get:12 http://... bookworm/main amd64 make amd64 4.3-4.1 [396 kB]"; lists come before anything is needed. */
static void got(struct apt_count *c, const char *line)
{
	const char *size = strrchr(line, '[');

	if (c->bytes_total && size)
		c->bytes = BG_MIN(c->bytes + size_of(size + 1), c->bytes_total);
}

/* "0 upgraded, 69 newly installed, ..." */
static void planned(struct apt_count *c, const char *line)
{
	unsigned upgraded, installed;

	if (sscanf(line, "%9u upgraded, %9u newly installed", &upgraded, &installed) == 2)
		c->packages_total += installed;
}

static void take_line(struct apt_count *c)
{
	const char *line = c->line;

	c->line[c->len] = '\0';
	if (begins(line, "Need to get "))
		need(c, line + strlen("Need to get "));
	else if (begins(line, "Get:"))
		got(c, line);
	else if (begins(line, "Unpacking "))
		c->unpacked++, c->installs = true;
	else if (begins(line, "Setting up "))
		c->set_up++, c->installs = true;
	else
		planned(c, line);
	c->len = 0;
}

void apt_count_feed(struct apt_count *c, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n')
			take_line(c);
		else if (c->len < sizeof(c->line) - 1)
			c->line[c->len++] = text[i];
}

uint64_t apt_count_packages(const struct apt_count *c)
{
	uint64_t done = (c->unpacked + c->set_up) / 2;

	return c->packages_total ? BG_MIN(done, c->packages_total) : done;
}
