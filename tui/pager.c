/* SPDX-License-Identifier: ISC */
/* pager.c: Whole lines in an array, and the part of a line that has no end yet. */
#include "tui/pager.h"

#include <stdarg.h>
#include <stdio.h>

#include "tui/grid.h"

void pager_close(struct pager *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->lines[i]);
	free(p->lines);
	memset(p, 0, sizeof(*p));
}

void pager_begin(struct pager *p, const char *title, bool follow)
{
	bool wrap = p->wrap;

	pager_close(p);
	p->open = true;
	p->follow = follow;
	p->wrap = wrap;
	p->hit = SIZE_MAX;
	snprintf(p->title, sizeof(p->title), "%s", title);
}

static void drop_first(struct pager *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		p->bytes -= strlen(p->lines[i]) + 1;
		free(p->lines[i]);
	}
	p->count -= n;
	memmove(p->lines, p->lines + n, p->count * sizeof(*p->lines));
	p->top -= BG_MIN(p->top, n);
	p->hit = p->hit == SIZE_MAX || p->hit < n ? SIZE_MAX : p->hit - n;
}

/* A quarter of the lines at once, so that the rest is not moved for each. */
static void bound(struct pager *p)
{
	if (p->bytes > PAGER_BYTES)
		drop_first(p, p->count / 4 + 1);
}

static void end_line(struct pager *p)
{
	char *line = strndup(p->part, p->part_len);

	p->part_len = 0;
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 64;
		char **lines = realloc(p->lines, room * sizeof(*lines));

		if (!lines) {
			free(line);
			return;
		}
		p->lines = lines;
		p->room = room;
	}
	if (!line)
		return;
	p->lines[p->count++] = line;
	p->bytes += strlen(line) + 1;
	p->unseen += !p->follow;
	bound(p);
}

static void put_byte(struct pager *p, char c)
{
	if (c == '\n') {
		end_line(p);
		return;
	}
	if (c == '\t') {
		do {
			p->part[p->part_len++] = ' ';
		} while (p->part_len % 8 && p->part_len < sizeof(p->part) - 1);
	} else if (c != '\r' && c != '\0') {
		p->part[p->part_len++] = c;
	}
	if (p->part_len >= sizeof(p->part) - 1)
		end_line(p);
}

/* console_clean has left colours alone: ESC [ digits m. */
static void take_byte(struct pager *p, char c)
{
	if (p->sgr == 1)
		p->sgr = c == '[' ? 2 : 0;
	else if (p->sgr == 2)
		p->sgr = c == 'm' ? 0 : 2;
	else if (c == '\033')
		p->sgr = 1;
	else
		put_byte(p, c);
}

void pager_feed(struct pager *p, const char *data, size_t len)
{
	enum { PIECE = 4096 };
	char clean[PIECE + CONSOLE_HELD];

	while (p->open && len > 0) {
		size_t piece = BG_MIN(len, (size_t)PIECE),
		       n = console_clean(&p->console, data, piece, clean);

		for (size_t i = 0; i < n; i++)
			take_byte(p, clean[i]);
		data += piece;
		len -= piece;
	}
}

void pager_end(struct pager *p)
{
	if (p->part_len > 0)
		end_line(p);
	p->ended = true;
}

void pager_printf(struct pager *p, const char *fmt, ...)
{
	char line[PAGER_LINE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (const char *c = line; *c; c++)
		put_byte(p, *c);
	end_line(p);
}

int pager_line_rows(const struct pager *p, size_t line, int columns)
{
	if (!p->wrap || columns <= 0)
		return 1;
	return BG_MAX((grid_columns(p->lines[line]) + columns - 1) / columns, 1);
}

/* The top at which the last line stands on the last row. */
static size_t last_top(const struct pager *p, int rows, int columns)
{
	size_t top = p->count;
	int used = 0;

	while (top > 0 && (used += pager_line_rows(p, top - 1, columns)) <= rows)
		top--;
	return top;
}

void pager_settle(struct pager *p, int rows, int columns)
{
	size_t last = last_top(p, rows, columns);

	if (p->follow || p->top > last)
		p->top = last;
	if (p->top == last)
		p->unseen = 0;
}

void pager_scroll(struct pager *p, long lines, int rows)
{
	(void)rows;
	if (lines < 0) {
		p->follow = false;
		p->top -= BG_MIN(p->top, (size_t)-lines);
	} else {
		p->top += (size_t)lines;
	}
}

static bool has(const char *line, const char *word)
{
	return *word && strcasestr(line, word);
}

bool pager_matches(const struct pager *p, size_t line)
{
	return has(p->lines[line], p->search);
}

bool pager_find(struct pager *p, int direction, int rows)
{
	size_t from = p->hit != SIZE_MAX ? p->hit
		      : direction > 0	 ? p->top - 1
					 : BG_MIN(p->top + (size_t)rows, p->count);

	for (size_t i = from + (size_t)(long)direction; i < p->count;
		i += (size_t)(long)direction) {
		if (!pager_matches(p, i))
			continue;
		p->hit = i;
		p->follow = false;
		if (i < p->top || i >= p->top + (size_t)rows)
			p->top = i - BG_MIN(i, (size_t)rows / 2);
		return true;
	}
	return false;
}
