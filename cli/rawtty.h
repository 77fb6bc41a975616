/* SPDX-License-Identifier: ISC */
/* rawtty.h: our terminal while a guest's program has it: no line editing, no signals, no echo. */
#ifndef BG_CLI_RAWTTY_H
#define BG_CLI_RAWTTY_H

#include <sys/ioctl.h>
#include <termios.h>

#include "common/base.h"

struct rawtty {
	int fd; /* -1: nothing was changed */
	struct termios old;
};

/* Does nothing when fd is not a terminal. */
void rawtty_enter(struct rawtty *raw, int fd);
void rawtty_leave(struct rawtty *raw);
/* False when fd is not a terminal. */
bool rawtty_size(int fd, struct winsize *ret);

#endif
