/* SPDX-License-Identifier: ISC */
/*
 * grid.c: A cell holds one character and its look; of a wide one the right half is a cell of width
 * 0.
 */
#include "tui/grid.h"

#include <stdarg.h>
#include <stdio.h>

int grid_reset(struct grid *g, int rows, int columns)
{
	size_t count = (size_t)BG_MAX(rows, 1) * (size_t)BG_MAX(columns, 1);

	if (!g->cells || rows != g->rows || columns != g->columns) {
		struct cell *cells = calloc(count, sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		free(g->cells);
		g->cells = cells;
		g->rows = rows;
		g->columns = columns;
	}
	for (size_t i = 0; i < count; i++)
		g->cells[i] = (struct cell){L' ', 1, LOOK_PLAIN};
	g->cursor_row = g->cursor_column = -1;
	return 0;
}

void grid_done(struct grid *g)
{
	free(TAKE_PTR(g->cells));
}

/* One character of UTF-8; -1 for bytes that are none, of which one is skipped. */
static int32_t next_char(const char **text)
{
	const unsigned char *s = (const unsigned char *)*text;
	static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
	int more = *s >= 0xf0 && *s < 0xf8   ? 3
		   : *s >= 0xe0 && *s < 0xf0 ? 2
		   : *s >= 0xc0 && *s < 0xe0 ? 1
					     : 0;
	int32_t c = more ? *s & (0x3f >> more) : *s;

	for (int i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			*text += 1;
			return -1;
		}
		c = c << 6 | (s[i] & 0x3f);
	}
	*text += more + 1;
	return (more == 0 && c >= 0x80) || c < least[more] || c > 0x10ffff ||
			       (c >= 0xd800 && c < 0xe000)
		       ? -1
		       : c;
}

/* Characters that reorder, hide or split what is around them. */
static bool is_trick(int32_t c)
{
	return (c >= 0x80 && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xe000 && c < 0xf900) || c >= 0xe0000;
}

/* What a character is shown as: up to two cells. Returns how many columns; 0: it is left out. */
static int show_char(int32_t c, bool ascii, struct cell out[2])
{
	int width;

	if (c >= 0 && (c < 0x20 || c == 0x7f)) {
		out[0] = (struct cell){L'^', 1, 0};
		out[1] = (struct cell){(wchar_t)(c == 0x7f ? '?' : c + '@'), 1, 0};
		return 2;
	}
	if (c < 0 || is_trick(c) || (ascii && c >= 0x7f))
		c = '?';
	width = c < 0x7f ? 1 : wcwidth((wchar_t)c);
	if (width < 0) {
		c = '?';
		width = 1;
	}
	out[0] = (struct cell){(wchar_t)c, (uint8_t)width, 0};
	out[1] = (struct cell){L' ', 0, 0};
	return width;
}

int grid_columns(const char *text)
{
	struct cell cells[2];
	int columns = 0;

	while (*text)
		columns += show_char(next_char(&text), false, cells);
	return columns;
}

static struct cell *at(struct grid *g, int row, int column)
{
	return &g->cells[(size_t)row * (size_t)g->columns + (size_t)column];
}

/* Writing over half of a wide character leaves a blank in place of its other half. */
static void set(struct grid *g, int row, int column, struct cell cell, enum look look)
{
	struct cell *c = at(g, row, column);

	if (c->width == 0 && column > 0 && c[-1].width == 2)
		c[-1] = (struct cell){L' ', 1, c[-1].look};
	if (c->width == 2 && column + 1 < g->columns)
		c[1] = (struct cell){L' ', 1, c[1].look};
	cell.look = (uint8_t)look;
	*c = cell;
}

static int clip(const struct grid *g, int row, int column, int room)
{
	if (row < 0 || row >= g->rows || column < 0 || column >= g->columns)
		return 0;
	return BG_MAX(BG_MIN(room, g->columns - column), 0);
}

int grid_put(struct grid *g, int row, int column, int room, enum look look, const char *text)
{
	struct cell cells[2];
	int used = 0;

	room = clip(g, row, column, room);
	while (room > 0 && *text) {
		int width = show_char(next_char(&text), g->ascii, cells);

		if (used + width > room ||
			(used + width == room && *text && grid_columns(text) > 0)) {
			for (; used < room - 1; used++)
				set(g, row, column + used, (struct cell){L' ', 1, 0}, look);
			set(g, row, column + used++,
				(struct cell){g->ascii ? L'~' : L'\u2026', 1, 0}, look);
			break;
		}
		for (int i = 0; i < width; i++)
			set(g, row, column + used++, cells[i], look);
	}
	return used;
}

int grid_printf(struct grid *g, int row, int column, int room, enum look look, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return grid_put(g, row, column, room, look, text);
}

void grid_put_right(struct grid *g, int row, int column, int room, enum look look, const char *text)
{
	int columns = BG_MIN(grid_columns(text), room);

	grid_put(g, row, column + room - columns, columns, look, text);
}

void grid_clear(struct grid *g, int row, int column, int room, enum look look)
{
	room = clip(g, row, column, room);
	for (int i = 0; i < room; i++)
		set(g, row, column + i, (struct cell){L' ', 1, 0}, look);
}

void grid_rule(struct grid *g, int row, int column, int room)
{
	room = clip(g, row, column, room);
	for (int i = 0; i < room; i++)
		set(g, row, column + i, (struct cell){g->ascii ? L'-' : L'\u2500', 1, 0}, LOOK_DIM);
}

static void corner(struct grid *g, int row, int column, wchar_t ch)
{
	if (clip(g, row, column, 1))
		set(g, row, column, (struct cell){g->ascii ? L'+' : ch, 1, 0}, LOOK_DIM);
}

void grid_frame(struct grid *g, int row, int column, int rows, int columns, const char *title)
{
	int right = column + columns - 1, bottom = row + rows - 1;

	for (int r = row; r <= bottom; r++) {
		grid_clear(g, r, column, columns, LOOK_PLAIN);
		for (int side = 0; side < 2; side++)
			if (clip(g, r, side ? right : column, 1))
				set(g, r, side ? right : column,
					(struct cell){g->ascii ? L'|' : L'\u2502', 1, 0}, LOOK_DIM);
	}
	grid_rule(g, row, column, columns);
	grid_rule(g, bottom, column, columns);
	corner(g, row, column, L'\u250c');
	corner(g, row, right, L'\u2510');
	corner(g, bottom, column, L'\u2514');
	corner(g, bottom, right, L'\u2518');
	if (title && columns > 8)
		grid_printf(g, row, column + 2, columns - 4, LOOK_TITLE, " %s ", title);
}

void grid_level(struct grid *g, int row, int column, int level, enum look look)
{
	static const wchar_t plain[] = L"__.:-=+*#";

	level = BG_MAX(BG_MIN(level, 8), 0);
	if (!clip(g, row, column, 1))
		return;
	set(g, row, column,
		(struct cell){g->ascii ? plain[level] : (wchar_t)(0x2580 + BG_MAX(level, 1)), 1, 0},
		look);
}

void grid_reverse(struct grid *g, int row, int column, int room)
{
	room = clip(g, row, column, room);
	for (int i = 0; i < room; i++)
		at(g, row, column + i)->look |= LOOK_REVERSE;
}

static char *put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

char *grid_row_text(const struct grid *g, int row)
{
	char *text = malloc((size_t)g->columns * 4 + 1), *end = text;

	if (!text)
		return NULL;
	for (int i = 0; i < g->columns; i++) {
		const struct cell *c = &g->cells[(size_t)row * (size_t)g->columns + (size_t)i];

		if (c->width)
			end = put_utf8(end, (uint32_t)c->ch);
	}
	while (end > text && end[-1] == ' ')
		end--;
	*end = '\0';
	return text;
}
