/* SPDX-License-Identifier: ISC */
/*
 * grid.h: a screen as cells, before any terminal is involved: what the views draw into, what tests read and what
 * term.c shows. All text enters by grid_put, which makes it safe: guests, images and logs choose some of it. Nothing
 * else may write a character that it was handed.
 */
#ifndef BG_TUI_GRID_H
#define BG_TUI_GRID_H

#include <wchar.h>

#include "common/base.h"

/* How a cell looks; term.c has the colours, and what is left of them without colours. */
enum look {
	LOOK_PLAIN,
	LOOK_DIM,
	LOOK_BOLD,
	LOOK_TITLE,
	LOOK_GOOD,
	LOOK_BUSY,
	LOOK_BAD,
	LOOK_ACCENT,
	LOOK_MAX_,
	LOOK_REVERSE = 0x40 /* on top of one of them */
};

struct cell {
	wchar_t ch;
	uint8_t width; /* 0: the right half of the cell before it */
	uint8_t look;
};

struct grid {
	int rows, columns;
	bool ascii;		       /* the terminal shows nothing else */
	int cursor_row, cursor_column; /* -1: no cursor */
	struct cell *cells;
};

/* Makes it blank and of this size; -ENOMEM. A zeroed grid is an empty one. */
int grid_reset(struct grid *g, int rows, int columns);
void grid_done(struct grid *g);

/*
 * Puts text at row and column, into at most room columns ("~" or an ellipsis ends what is cut). Control characters
 * become ^X, others that would move or hide text become '?'. Returns the columns used. Outside of the grid nothing happens.
 */
int grid_put(struct grid *g, int row, int column, int room, enum look look, const char *text);
int grid_printf(struct grid *g, int row, int column, int room, enum look look, const char *fmt, ...)
	_printf_(6, 7);
/* The same, with its end at column + room. */
void grid_put_right(
	struct grid *g, int row, int column, int room, enum look look, const char *text);
/* Blanks with this look. */
void grid_clear(struct grid *g, int row, int column, int room, enum look look);
/* A rule; with ASCII it is of '-'. */
void grid_rule(struct grid *g, int row, int column, int room);
/* A frame around rows x columns at row and column, blank inside. */
void grid_frame(struct grid *g, int row, int column, int rows, int columns, const char *title);
/* 0 to 8: the share of a cell that is filled from below; '_' to '#' with ASCII. */
void grid_level(struct grid *g, int row, int column, int level, enum look look);
void grid_reverse(struct grid *g, int row, int column, int room);

/* The columns that grid_put would use for text, without a limit. */
int grid_columns(const char *text);
/* The row as UTF-8 without blanks at its end; the caller's. For tests. */
char *grid_row_text(const struct grid *g, int row);

#endif
