/* SPDX-License-Identifier: ISC */
/*
 * process.h: the store process: alone opens the database, writes what the engine posts, all that is pending as one transaction, and
 * answers when it is on the disk. It also does the small file work that has an order with rows: records, syncs of folders,
 * the reserve. It may block. It ends with the engine's socket, after what was posted is written.
 */
#ifndef BG_DAEMON_STORE_PROCESS_H
#define BG_DAEMON_STORE_PROCESS_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

enum store_verb {
	STORE_NONE,
#define X(verb, from, text) STORE_##verb,
#include "daemon/store/store_verbs.def"
#undef X
};

enum {
	STORE_MORE = 1,	 /* the next datagram belongs to the same transaction */
	STORE_WAITS = 2, /* somebody waits for it */
};

struct store_head {
	uint32_t verb;
	uint32_t flags;
	uint64_t seq;
};

/* One datagram; rows of more do not fit, and are refused. */
#define STORE_MESSAGE_MAX (160 * 1024)

/* body may be NULL. Blocks as the socket does; -EMSGSIZE. */
int store_send(int sock, const struct store_head *head, const json_t *body);
/* Does not block: -EAGAIN; -EPIPE at the end; -EBADMSG. *ret: NULL when there is none, else the caller's. */
int store_recv(int sock, struct store_head *head, json_t **ret);

/* In the child: never returns. dir: <state>. */
_noreturn_ void store_process(int sock, const char *dir);

#endif
