/* SPDX-License-Identifier: ISC */
/*
 * batch.h: what the store process does with the messages that are pending: records that must be there first, one transaction,
 * records that follow. On a full disk it gives the reserve up for those that remove something, and where even that is not enough
 * marks what is to be removed; after an error that makes the file doubtful it goes on in the next generation.
 */
#ifndef BG_DAEMON_STORE_BATCH_H
#define BG_DAEMON_STORE_BATCH_H

#include "daemon/store/open.h"

struct write {
	enum table_id table;
	char *key, *text; /* text NULL: it goes */
	void *row;
	uint64_t rev, recorded;
	bool wants_record; /* after the commit */
	bool frees;	   /* it is a removal, or leads to one */
};

struct message {
	uint64_t seq;
	bool waits;
	json_t *body;
	struct write *writes;
	size_t n;
	struct bg_err *err;
	bool again; /* it is good without being in the file: it is to be written once more */
};

struct batch {
	struct opened *o;
	struct message *message;
	size_t n, room;
	const char *mode; /* "ok", "full", "read-only" */
	bool doubtful;	  /* the file: nothing more goes into it */
};

/* body is taken. */
int batch_add(struct batch *b, uint64_t seq, bool waits, json_t *body);
/* Writes all; each message has its err afterwards, or none. */
void batch_run(struct batch *b);
void batch_drop_last(struct batch *b);
void batch_clear(struct batch *b);
/* Writes some of the records that are older than their rows or missing; false when there was none to write. */
bool batch_catch_up(struct batch *b);

#endif
