/* SPDX-License-Identifier: ISC */
/*
 * draw.h: the UI as a grid: a pure function of what ui.h holds and of the grid's size. What was put where is noted in
 * ui for the mouse. draw.c divides the screen, draw_list.c has the columns, draw_detail.c the panes, draw_over.c
 * what lies over them, draw_text.c texts.
 */
#ifndef BG_TUI_DRAW_H
#define BG_TUI_DRAW_H

#include "tui/grid.h"
#include "tui/ui.h"

enum { TEXT_FRAME_ROWS = 5, SPIN_MS = 200 };

/* The whole screen; the grid has its size already and is blank. */
void draw(struct ui *ui, struct grid *g);
/* The list whose tab was drawn at this column of the first row; -1: none. */
int draw_tab_at(const struct ui *ui, int column);
/* How long until something on the screen changes by itself: milliseconds, -1: never. */
int draw_next(const struct ui *ui);

/* A part of the screen. */
struct box {
	int row, column, rows, columns;
};

/* draw_list.c */
void draw_list(struct ui *ui, struct grid *g, struct box box);
/* How many rows the operations, or what happened, would fill. */
void draw_ops_brief(const struct ui *ui, struct grid *g, struct box box);
void draw_notes(const struct ui *ui, struct grid *g, struct box box);
/* draw_detail.c */
void draw_detail(const struct ui *ui, struct grid *g, struct box box);
/* draw_over.c */
void draw_dialog(const struct ui *ui, struct grid *g);
void draw_palette(struct ui *ui, struct grid *g);
/* draw_form.c: in place of the list */
void draw_form(const struct ui *ui, struct grid *g);
/* draw_text.c */
void draw_text(struct ui *ui, struct grid *g);

/* draw_util.c */
#define SHORT_TEXT 48
/* "3d 4h", "2h14m", "41m", "4s". Returns out. */
const char *short_age(int64_t ms, char out[SHORT_TEXT]);
/* "412M", "1.3G"; "-" for 0 or less. */
const char *short_size(int64_t bytes, char out[SHORT_TEXT]);
/* "4.1 s", "2m 05s". */
const char *short_elapsed(int64_t ms, char out[SHORT_TEXT]);
/* Milliseconds that an operation has taken. */
int64_t op_elapsed(const struct ui *ui, const struct item *op);
/* The stage that runs, or the last one; "" for none. */
const char *op_stage(const json_t *op);
/* The share that is done, 0 to 1000; -1: not known. */
int op_share(const json_t *op);
/* "#####....." of the share, in room columns. */
void draw_bar(struct grid *g, int row, int column, int room, int share);
/* '*' running, '~' busy, '=' paused, 'z' suspended, '.' stopped, '!' failed, and how it looks. */
char face_glyph(enum face face, enum look *look);
char op_glyph(const json_t *op, enum look *look);
/* Several hints of keys on the last row, as many as fit; those of lower rank go first. */
void draw_hints(struct ui *ui, struct grid *g);

#endif
