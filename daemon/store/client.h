/* SPDX-License-Identifier: ISC */
/*
 * client.h: what client.c (what is posted and who waits), client_rows.c (rows) and link.c (the process and its socket) share of the engine's
 * end of the store.
 */
#ifndef BG_DAEMON_STORE_CLIENT_H
#define BG_DAEMON_STORE_CLIENT_H

#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/loop/loop.h"
#include "daemon/store/db.h"
#include "daemon/store/process.h"

/* A row that is not known to be on the disk as it is now. */
struct entry {
	TAILQ_ENTRY(entry) link;
	enum table_id table;
	char *key;
	json_t *row;  /* NULL: it goes */
	uint64_t seq; /* in which it was sent last; 0: not yet */
	bool dirty;   /* it is to be sent */
	bool failed;  /* again: it could not be written before */
};
TAILQ_HEAD(entry_list, entry);

struct store_call {
	TAILQ_ENTRY(store_call) link;
	struct store *store; /* NULL once it is done */
	uint64_t seq;
	store_done_fn done;
	void *userdata;
	struct bg_err *err;
	bool alone;		  /* see store_call_alone */
	struct loop_source *soon; /* there was nothing to wait for */
};
TAILQ_HEAD(call_list, store_call);

/* A row as it was read at the start, until somebody takes it. */
struct loaded {
	TAILQ_ENTRY(loaded) link;
	enum table_id table;
	void *row;
};
TAILQ_HEAD(loaded_list, loaded);

struct store {
	struct loop *loop;
	char *dir;
	void (*on_child)(void);
	/* link.c */
	pid_t pid;
	int pidfd, sock;
	struct loop_source *read, *write, *exit, *again, *silence;
	bool open; /* it has said OPENED */
	/* client.c */
	struct entry_list entries; /* in the order of their last put */
	struct call_list calls;
	struct loaded_list loaded;
	json_t *sync; /* folders for the next message */
	struct loop_source *flush, *retry;
	uint64_t seq, done_seq; /* of the last message sent, and answered */
	uint64_t asked_usec;	/* when the oldest message without an answer was sent; 0: none */
	bool poke;		/* a message is to be sent though there is no row for it */
	bool hurried;		/* the last one said that somebody waits */
	bool no_memory;
	int64_t next_op, op_reserved;
	json_t *notes, *orphans;
	char *file;
	char mode[16];
	struct bg_err *err; /* why nothing can be written; NULL: it can */
};

/* ---- link.c ---- */

/* Starts the process and reads to its OPENED; blocks, bounded. */
int link_open(struct store *store, struct bg_err **err);
/* Ends it: what was sent is still written. Blocks, bounded. */
void link_close(struct store *store);
/* -EAGAIN: store_flush is called when there is room; other errors: the process is on its way out. */
int link_send(struct store *store, const struct store_head *head, const json_t *body);
/* An answer is waited for, or (asked_usec 0) none any more: one that does not come is the end of that process, unless it waits for a disk. */
void link_watch_silence(struct store *store);

/* ---- client.c ---- */

void store_flush(struct store *store);
/* An answer. body is borrowed. */
void store_on_done(struct store *store, uint64_t seq, const json_t *body);
/* The process is another one: what had no answer is to be sent again. */
void store_on_restart(struct store *store);
/* Nothing can be opened: everybody hears err. */
void store_on_broken(struct store *store, const struct bg_err *err);
int store_on_rows(struct store *store, const json_t *body);
void store_on_opened(struct store *store, const json_t *body);
/* row is taken; NULL: it goes. */
void store_post(struct store *store, enum table_id table, const char *key, json_t *row);

/* ---- client_rows.c ---- */

void store_load_counters(struct store *store);

#endif
