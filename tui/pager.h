/* SPDX-License-Identifier: ISC */
/*
 * pager.h: a text that may grow: logs, the output of a command, the details of a record. Holds the last PAGER_BYTES of it by
 * lines; following stays at the end, scrolling up stays where it is and counts what came since. Colours of a
 * log are taken out, other control characters stay, for the grid to show.
 */
#ifndef BG_TUI_PAGER_H
#define BG_TUI_PAGER_H

#include "common/base.h"
#include "common/console.h"

enum { PAGER_BYTES = 2 * 1024 * 1024, PAGER_LINE = 4096, PAGER_SEARCH = 64 };

struct pager {
	bool open, follow, wrap, ended;
	bool is_log;  /* of the VM named: Tab shows the other one */
	bool is_diff; /* of the VM named: P pulls */
	bool vmm;     /* the VMM's log, not the console's */
	char title[96], vm[72];
	char **lines;
	size_t count, room, bytes;
	size_t top;    /* the first line shown */
	size_t unseen; /* lines that came since it was last at its end */
	int left;      /* columns that are off to the left */
	char search[PAGER_SEARCH];
	size_t hit;	       /* the line of the last match; SIZE_MAX: none */
	char part[PAGER_LINE]; /* the last line, while it has no end */
	size_t part_len;
	struct console console;
	int sgr; /* inside a colour sequence that is being left out */
};

/* Empty, open, at the end of what comes. */
void pager_begin(struct pager *p, const char *title, bool follow);
void pager_close(struct pager *p);
/* Bytes in pieces of any size. */
void pager_feed(struct pager *p, const char *data, size_t len);
/* Nothing comes any more: what has no line end becomes a line. */
void pager_end(struct pager *p);
/* A line of our own, with a printf format. */
void pager_printf(struct pager *p, const char *fmt, ...) _printf_(2, 3);

/* How many rows of the screen a line takes. */
int pager_line_rows(const struct pager *p, size_t line, int columns);
void pager_scroll(struct pager *p, long lines, int rows);
/* Keeps the top within bounds; at the end when it follows. */
void pager_settle(struct pager *p, int rows, int columns);
/* The next line with the search text from the last hit, in the direction; false: none. */
bool pager_find(struct pager *p, int direction, int rows);
bool pager_matches(const struct pager *p, size_t line);

#endif
