/* SPDX-License-Identifier: ISC */
/*
 * watch.h: has something begun to listen on port 22? The kernel tells nobody, so the
 * table is read: often for a moment after the server's program was opened (inotify),
 * seldom otherwise, never again once found. Owned by agent.c.
 */
#ifndef BG_GUEST_WATCH_H
#define BG_GUEST_WATCH_H

#include "common/base.h"

struct watch {
	int fd; /* inotify, -1 when there is none */
	bool found;
	uint64_t eager_until; /* uptime, ms */
};

/* Path of the image's ssh server, NULL when it has none. */
const char *watch_find_sshd(void);
void watch_init(struct watch *w, const char *sshd);
/* The server's program was opened: it may listen soon. */
void watch_event(struct watch *w);
/* Looks; true when port 22 listens. */
bool watch_check(struct watch *w);
/* Milliseconds until the next look; -1 when none is needed. */
int watch_timeout(const struct watch *w);

/* Pure part: is there a listener on the port in this text of /proc/net/tcp or tcp6? */
bool watch_has_listener(const char *text, unsigned port);

#endif
