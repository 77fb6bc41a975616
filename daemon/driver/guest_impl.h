/* SPDX-License-Identifier: ISC */
/* guest_impl.h: the one struct that guest_agent.c (conversation) and guest_call.c (requests) share.
 */
#ifndef GUEST_IMPL_H
#define GUEST_IMPL_H

#include <sys/queue.h>

#include "common/agent_frame.h"
#include "common/limits.h"
#include "daemon/driver/guest.h"

enum guest_state {
	GUEST_WAITING, /* no carrier; timer is the next try */
	GUEST_CARRIER, /* vsock: CONNECT was sent, its answer is not here; timer is the deadline */
	GUEST_OPENING, /* HELLO was sent; timer is the deadline */
	GUEST_OPEN,    /* WELCOME came; no timer */
};

TAILQ_HEAD(guest_calls, guest_call);

struct guest {
	struct loop *loop;
	char path[BG_SUN_PATH_MAX + 1];
	char vm_id[BG_ID_LEN + 1];
	bool vsock;
	bool wrong_logged;
	bool dead;
	unsigned depth;
	enum guest_state state;
	int fd;
	struct loop_source *io;
	struct loop_source *timer;
	uint64_t down_usec;    /* since when there is no conversation */
	uint64_t opening_usec; /* how long the next opening may take */
	uint8_t *out;
	size_t out_len;
	char line[64];
	size_t line_len;
	uint32_t flags;
	guest_status_fn status;
	void *userdata;
	struct guest_calls calls;
	uint64_t next_ping;
	struct bg_agent_reader reader; /* last: large, and not cleared */
};

/* Around everything that can call the owner. leave: false when the guest is gone. */
void guest_enter(struct guest *guest);
bool guest_leave(struct guest *guest);
void guest_destroy(struct guest *guest);
/* Queues one frame of stream 0 in an open carrier. */
int guest_send(struct guest *guest, enum bg_agent_type type, const void *payload, size_t len);

/* The conversation opened: sends what waits. */
void guest_calls_open(struct guest *guest);
/* It broke: fails those that were sent. */
void guest_calls_broken(struct guest *guest, const char *why);
void guest_calls_answer(struct guest *guest, const struct bg_agent_frame *frame);
/* The guest is being freed: its calls stay with their owners and end silently. */
void guest_calls_orphan(struct guest *guest);

#endif
