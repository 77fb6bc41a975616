/* SPDX-License-Identifier: ISC */
/*
 * exec_kept.h: what is known of a session whose client may lose its connection and come back (the page's terminal, when it is loaded anew):
 * the output that the client has not drawn yet, and the windows. Pure: no loop, no socket. What is held is never more than
 * one window, as the guest sends no more before the client gives credit.
 */
#ifndef BG_DAEMON_EXEC_KEPT_H
#define BG_DAEMON_EXEC_KEPT_H

#include "common/base.h"

enum {
	/* hex digits, made by the client: a name among the sessions of its owner, not a secret */
	EXEC_KEPT_ID = 32,
	EXEC_KEPT_HEAD = 16, /* bytes of exec_kept_head */
	EXEC_KEPT_S = 60,    /* so long without a client */
	/* so many of an owner without a client: the one that waited longest ends */
	EXEC_KEPT_OWNER = 8,
	EXEC_KEPT_ALL = 32, /* the same of all */
};

/* A queue of bytes: len of them from at on. All zero is an empty one. */
struct exec_bytes {
	uint8_t *p;
	size_t at, len, size;
};

int exec_bytes_add(struct exec_bytes *b, const void *bytes, size_t len);
/* n is at most b->len. */
void exec_bytes_drop(struct exec_bytes *b, size_t n);
void exec_bytes_free(struct exec_bytes *b);

struct exec_kept {
	char id[EXEC_KEPT_ID + 1];
	uint64_t drawn;	       /* bytes of output that the client gave credit for */
	struct exec_bytes out; /* those after them */
	uint32_t room;	       /* bytes of input that the guest still takes */
};

bool exec_kept_id_valid(const char *id);
/* NULL when out of memory. id: a valid one. */
struct exec_kept *exec_kept_new(const char *id);
void exec_kept_free(struct exec_kept *kept);

/* A frame that passes. -EPROTO: the client gives credit for what it was not sent; -ENOMEM. */
int exec_kept_from_guest(
	struct exec_kept *kept, uint16_t type, uint16_t sub, const void *payload, size_t len);
int exec_kept_from_client(
	struct exec_kept *kept, uint16_t type, uint16_t sub, const void *payload, size_t len);
/* The client comes back and has seen so many bytes in all. Returns how many of them it owes credit for; 0 also when that cannot be. */
uint32_t exec_kept_seen(struct exec_kept *kept, uint64_t seen);
/* u64 the number of the first byte of output that follows, u32 room, u32 how much is held; little-endian. */
void exec_kept_head(const struct exec_kept *kept, uint8_t ret[EXEC_KEPT_HEAD]);

#endif
