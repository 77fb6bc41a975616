/* SPDX-License-Identifier: ISC */
/*
 * app.h: the terminal UI as a program: the event loop that joins terminal, daemon, child programs and ui.h. Everything
 * that happens is an event: a key, a line of the daemon, a signal, a child's end, a timer when something on
 * the screen changes by itself. After a batch of them the screen is drawn once. Idle, it sleeps.
 */
#ifndef BG_TUI_APP_H
#define BG_TUI_APP_H

#include "common/err.h"
#include "common/paths.h"
#include "tui/tty.h"

struct app_options {
	struct tty_options tty;
	const char *banger; /* the CLI, for what is run */
	/* a byte is written there after each drawing with nothing due: for tests; -1 */
	int idle_fd;
	bool numbers; /* at the end say what was used, on stderr: for tests */
};

/* The exit status, or -errno. The terminal is as before when it returns. */
int app_run(const struct app_options *options, const struct bg_paths *paths, struct bg_err **err);

#endif
