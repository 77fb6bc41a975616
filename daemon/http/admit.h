/* SPDX-License-Identifier: ISC */
/*
 * admit.h: who may be connected at all. evhttp hands out a connection with its first request: who sends none would hold a descriptor until it
 * is idle for too long. So each is looked at as soon as control is back in the loop, and a stranger's is shut down.
 */
#ifndef BG_DAEMON_HTTP_ADMIT_H
#define BG_DAEMON_HTTP_ADMIT_H

#include <event2/http.h>

#include "common/base.h"

struct loop;
struct admit;

/* Takes evhttp's bevcb. fn(descriptor): may it stay? */
int admit_new(struct loop *loop, struct evhttp *evhttp, bool (*fn)(int fd, void *userdata),
	void *userdata, struct admit **ret);
/* After the evhttp. */
void admit_free(struct admit *admit);

#endif
