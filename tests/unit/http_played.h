/* SPDX-License-Identifier: ISC */
/*
 * http_played.h: daemon/http with played handlers, in a child of the test, which is its client. One at a time; it ends with
 * the test.
 */
#ifndef BG_TESTS_UNIT_HTTP_PLAYED_H
#define BG_TESTS_UNIT_HTTP_PLAYED_H

#include <sys/types.h>
#include <sys/un.h>

struct played_http {
	struct sockaddr_un addr;
	int reports; /* the test reads here what happened in the server */
	pid_t pid;
	/* Set before the start. */
	pid_t barred_pid;  /* a client that is refused */
	int idle_s;	   /* 0: the usual bound */
	unsigned more_fds; /* connections that it has descriptors for; 0: as many as it wants */
};

extern struct played_http played;

void played_http_start(void);

#endif
