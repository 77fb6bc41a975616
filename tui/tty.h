/* SPDX-License-Identifier: ISC */
/*
 * tty.h: the terminal: keys, pastes and the mouse come in, grids go out. tty.c is the only file that includes curses.h.
 * There is one terminal; it is left and taken again around programs that need it.
 */
#ifndef BG_TUI_TTY_H
#define BG_TUI_TTY_H

#include "common/err.h"
#include "tui/grid.h"
#include "tui/ui.h"

struct tty_options {
	bool no_colour, ascii, no_mouse;
};

/* Takes the terminal. USAGE: there is none, or it can do too little. */
int tty_open(const struct tty_options *options, struct bg_err **err);
/* As it was before. Any number of times. */
void tty_close(void);

int tty_fd(void);
bool tty_is_ascii(void);
/* Asks the terminal for its size again. */
void tty_size(int *rows, int *columns);

enum input { INPUT_NONE, INPUT_KEY, INPUT_PASTE, INPUT_MOUSE, INPUT_REPAINT, INPUT_GONE };
struct tty_input {
	int key;
	enum mouse mouse;
	int row, column;
	const char *paste; /* borrowed until the next call */
};
/* What is there, INPUT_NONE when that is all. Blocks for 25 ms at most, behind a lone Esc. */
enum input tty_next(struct tty_input *ret);

/* Puts on the screen what differs from the last grid. */
void tty_show(const struct grid *g);
/* The next tty_show draws everything. */
void tty_forget(void);
/* For another program, or the shell: the screen as it was, the modes as they were. */
void tty_leave(void);
void tty_return(void);
void tty_mouse(bool on);
/* To the clipboard, by OSC 52. */
void tty_copy(const char *text);

#endif
