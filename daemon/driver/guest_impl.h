/* SPDX-License-Identifier: ISC */
/* guest_impl.h: the one struct that guest_agent.c (conversation) and guest_call.c (requests) share.
 */
#ifndef BG_DAEMON_DRIVER_GUEST_IMPL_H
#define BG_DAEMON_DRIVER_GUEST_IMPL_H

#include <sys/queue.h>

#include "common/agent_frame.h"
#include "common/limits.h"
#include "common/rate.h"
#include "daemon/driver/guest.h"

enum guest_state {
	GUEST_WAITING, /* no carrier; timer is the next try */
	GUEST_CARRIER, /* vsock: CONNECT was sent, its answer is not here; timer is the deadline */
	GUEST_OPENING, /* HELLO was sent; timer is the deadline */
	GUEST_OPEN,    /* WELCOME came; no timer */
};

TAILQ_HEAD(guest_calls, guest_call);
TAILQ_HEAD(guest_streams, guest_stream);

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
	uint64_t heard_usec;   /* its last frame */
	uint64_t down_usec;    /* since when there is no conversation */
	uint64_t opening_usec; /* how long the next opening may take */
	unsigned io_events;    /* what io is watched for */
	uint8_t *out;	       /* unsent: out_len bytes from out_at on */
	size_t out_at, out_len, out_size;
	char line[64];
	size_t line_len;
	uint32_t flags;
	uint32_t can;		 /* enum bg_agent_can */
	struct bg_rate openings; /* of conversations that the guest brings to nothing */
	guest_status_fn status;
	void *userdata;
	struct guest_calls calls;
	struct guest_streams streams;
	uint32_t next_stream;
	uint64_t next_number;	       /* of a ping or gap */
	struct bg_agent_reader reader; /* last: large, and not cleared */
};

/* Around everything that can call the owner. leave: false when the guest is gone. */
void guest_enter(struct guest *guest);
bool guest_leave(struct guest *guest);
void guest_destroy(struct guest *guest);
/* Queues one frame of stream 0 in an open carrier. */
int guest_send(struct guest *guest, enum bg_agent_type type, const void *payload, size_t len);
/* The same for any stream. */
int guest_send_stream(struct guest *guest, enum bg_agent_type type, uint32_t stream, uint16_t sub,
	const void *payload, size_t len);
/* Streams take turns below this many queued bytes. */
enum { GUEST_OUT_BUSY = 128 * 1024 };

/* The conversation opened: sends what waits. */
void guest_calls_open(struct guest *guest);
/* It broke: fails those that were sent. */
void guest_calls_broken(struct guest *guest, const char *why);
void guest_calls_answer(struct guest *guest, const struct bg_agent_frame *frame);
/* The guest is being freed: its calls stay with their owners and end silently. */
void guest_calls_orphan(struct guest *guest);

/* A frame of a stream came. */
void guest_streams_frame(struct guest *guest, const struct bg_agent_frame *frame);
/* The carrier took what was queued. */
void guest_streams_room(struct guest *guest);
/* The conversation is over, and each stream with it. */
void guest_streams_broken(struct guest *guest, const char *why);

#endif
