/* SPDX-License-Identifier: ISC */
/*
 * link.h: the daemon's API inside an event loop: the stream of events, kept up; calls whose answers come later; one raw
 * stream. Nothing in here waits: a daemon that hangs makes a banner, not a frozen screen. Starts no daemon: on_lost tells
 * who does.
 */
#ifndef BG_TUI_LINK_H
#define BG_TUI_LINK_H

#include <event2/event.h>

#include "common/err.h"
#include "tui/ui.h"

struct link;

struct link_user {
	void (*on_line)(void *u, const json_t *line);
	/* The stream begins anew: what was known is old until "sync". */
	void (*on_begin)(void *u);
	/* It ended, or there is none; absent: nobody listens on the socket. It is tried again by itself. */
	void (*on_lost)(void *u, bool absent);
	/* reply: NULL when error is not. */
	void (*on_reply)(void *u, enum call_for why, const char *what, const json_t *reply,
		const char *error, const char *hint);
	/* len 0: that was all. */
	void (*on_raw)(void *u, const char *data, size_t len);
};

/* socket and user are borrowed. Begins at once. */
int link_new(struct event_base *base, const char *socket, const struct link_user *user,
	void *userdata, struct link **ret);
void link_free(struct link *link);
/* body is taken. on_reply comes from the loop, also when nothing can be sent. */
void link_call(struct link *link, enum call_for why, const char *method, const char *path,
	json_t *body, const char *what);
/* NULL: ends the one there is, without a word. */
void link_follow(struct link *link, const char *path);
/* Now, and not when it is due. */
void link_again(struct link *link);

#endif
