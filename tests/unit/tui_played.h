/* SPDX-License-Identifier: ISC */
/*
 * tui_played.h: the terminal UI without a terminal: one UI, one screen, and what it asked for. Each test begins it anew, with
 * or without the recorded events (tests/unit/tui/events.ndjson), and ends it.
 */
#ifndef BG_TESTS_UNIT_TUI_PLAYED_H
#define BG_TESTS_UNIT_TUI_PLAYED_H

#include "tui/draw.h"

enum { ASKED_MAX = 32 };

extern struct ui ui;
extern struct grid grid;
/* What the UI asked for, a line each. */
extern char asked[ASKED_MAX][400];
extern unsigned n_asked;

void begin(void);
void begin_with_events(void);
void played_end(void);

/* One line of the event stream. */
void feed(const char *text);
void keys(const char *text);
void cursor_to(const char *name);
void show(int rows, int columns);
/* Row of the screen that has the text; NULL: none has. Valid until the next call. */
const char *row_with(const char *text);
/* The screen is that of tests/unit/tui/NAME.txt (the characters, then the looks). BANGER_UPDATE_GOLDEN=1 writes those anew: look at them. */
void check_screen(const char *name);

#endif
