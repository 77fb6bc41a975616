/* SPDX-License-Identifier: ISC */
/*
 * render.h: what the commands print with: terminal facts, colors, tables that
 * fit the width, durations. Every string of a record passes term_clean before
 * it reaches a terminal: guests and images choose some of them.
 */
#ifndef BG_CLI_RENDER_H
#define BG_CLI_RENDER_H

#include <jansson.h>
#include <stdio.h>

#include "common/err.h"

struct term {
	FILE *file;
	bool tty;
	bool color; /* tty, and neither NO_COLOR nor TERM=dumb */
	int width;  /* columns; 0 when it is not a terminal: nothing is cut */
};

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

void term_init(struct term *t, FILE *file);
/* Reads the width again. */
void term_resize(struct term *t);
/* The escape sequence that begins a style, "" without colors; term_plain ends any. */
const char *term_style(const struct term *t, enum style style);
const char *term_plain(const struct term *t);
/*
 * A copy in which control characters are '?', and so is what is not ASCII when stdout is a terminal
 * of another charset than UTF-8; the caller's. NULL when out of memory.
 */
char *term_clean(const char *s);
/* Columns that a UTF-8 text takes, counting one for each character. */
int term_columns(const char *s);
/* Prints at most max columns of s ("..." ends what is cut); returns the columns printed. */
int term_put(FILE *f, const char *s, int max);

struct column {
	const char *title;
	bool right; /* numbers */
	int min;    /* may be cut down to this; 0: never cut */
	int drop;   /* left out when the rest does not fit, highest first; 0: never */
};

struct table;
/* columns stays the caller's and must outlive the table. */
struct table *table_new(const struct column *columns, size_t count);
/* Sets the next cell, row by row. text is copied and cleaned; NULL or "" shows as "-". */
void table_cell(struct table *t, enum style style, const char *fmt, ...) _printf_(3, 4);
void table_print(struct table *t, const struct term *term);
void table_free(struct table *t);
BG_DEFINE_UNREF(table, struct table *, table_free)

/*
 * Text with a line break before each word that does not fit into width columns (0: none), from
 * column on and indented by it. A word that is longer than a line stays whole.
 */
void render_wrapped(const struct term *t, int column, int width, const char *text);

/* "label   value", for show commands, wrapped on a terminal; nothing when the text is empty. */
void render_field(const struct term *t, const char *label, enum style style, const char *fmt, ...)
	_printf_(4, 5);
/* "created  3h 12m ago (2026-01-02T03:04:05Z)"; nothing when the text is empty. */
void render_time(const struct term *t, const char *label, const char *rfc3339);
/* The record, indented. */
void render_json(const struct term *t, const json_t *record);
/* "banger: message" and "  hint" on t. */
void render_error(const struct term *t, const struct bg_err *err);

#define DURATION_TEXT 32
/* "12 ms", "3.4 s", "2m 05s", "3h 12m", "4d 7h". Returns out. */
char *render_duration(uint64_t ms, char out[DURATION_TEXT]);
/* The same for whole seconds: "45 s", "2m 05s". */
char *render_age(int64_t seconds, char out[DURATION_TEXT]);
/* Seconds since an RFC 3339 UTC time; -1 when it is none. */
int64_t render_seconds_since(const char *rfc3339);
/* The string at key, borrowed; "" for anything else. The number at key; 0 for anything else. */
const char *render_text(const json_t *record, const char *key);
int64_t render_int(const json_t *record, const char *key);
/* "a, b, c"; the caller's, NULL when out of memory. */
char *render_list(const json_t *strings);
/* Of an image or a kernel: "700M on disk, 60M of it shared"; the caller's, NULL when out of memory. */
char *render_on_disk(const json_t *record);

#endif
