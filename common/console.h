/* SPDX-License-Identifier: ISC */
/*
 * console.h: makes a guest's console fit for a terminal: what would type, rename
 * or repaint is taken out, colors and line ends stay. Bytes come in pieces of any
 * size; no I/O.
 */
#ifndef BG_COMMON_CONSOLE_H
#define BG_COMMON_CONSOLE_H

#include "common/base.h"

enum console_state {
	CONSOLE_TEXT,
	CONSOLE_ESC,	  /* after ESC */
	CONSOLE_ESC_MORE, /* after ESC and intermediate bytes: one more ends it */
	CONSOLE_CSI,	  /* after ESC [ */
	CONSOLE_STRING,	  /* in OSC, DCS, SOS, PM or APC: until BEL or ESC \ */
	CONSOLE_STRING_ESC,
	CONSOLE_C2 /* after the byte that begins C1 controls in UTF-8 */
};

enum { CONSOLE_HELD = 24 };

struct console {
	enum console_state state;
	char held[CONSOLE_HELD]; /* a sequence that may become a color */
	size_t held_len;
	bool plain_csi; /* it had digits and ';' only */
};

/* Starts zeroed. out has room for len + CONSOLE_HELD bytes; returns how many were written. */
size_t console_clean(struct console *c, const char *text, size_t len, char *out);

#endif
