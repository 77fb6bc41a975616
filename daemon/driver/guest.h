/* SPDX-License-Identifier: ISC */
/*
 * guest.h: the host's side of the agent protocol (common/agent_proto.h), one conversation per running
 * VM. It connects by itself, again and again until freed: the carrier may not be there yet (the
 * VMM or the guest is still starting) or break (the guest reboots).
 */
#ifndef BG_DAEMON_DRIVER_GUEST_H
#define BG_DAEMON_DRIVER_GUEST_H

#include "common/agent_proto.h"
#include "common/base.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct bg_agent_frame;
struct guest;
struct guest_call;

struct guest_target {
	const char *carrier;	 /* "virtio" or "vsock", as vmm_driver.agent */
	const char *socket_path; /* unix socket of the VMM */
	const char *
		vm_id; /* BG_ID_LEN hex digits: another guest's answer is an error that is logged */
};

/* Each WELCOME, and each STATUS with a flag (enum bg_agent_flag) that was not set before: flags only come,
 * until connected is false: the conversation broke. */
typedef void (*guest_status_fn)(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata);
typedef void (*guest_done_fn)(const struct bg_err *err, void *userdata);

int guest_open(struct loop *loop, const struct guest_target *target, guest_status_fn status,
	void *userdata, struct guest **ret, struct bg_err **err);
void guest_free(struct guest *guest);
BG_DEFINE_UNREF(guest, struct guest *, guest_free)

bool guest_connected(const struct guest *guest);
uint32_t guest_flags(const struct guest *guest);
/* enum bg_agent_can, of the conversation that is open. */
uint32_t guest_can(const struct guest *guest);
/* When its last frame came, as loop_now_usec. */
uint64_t guest_heard_usec(const struct guest *guest);

/* Asks for a shutdown; done when the agent has said it begins, or BG_ERR_AGENT after deadline_usec. Freeing the call forgets it. */
int guest_shutdown(struct guest *guest, enum bg_agent_shutdown kind, uint64_t deadline_usec,
	guest_done_fn done, void *userdata, struct guest_call **ret, struct bg_err **err);
int guest_ping(struct guest *guest, uint64_t deadline_usec, guest_done_fn done, void *userdata,
	struct guest_call **ret, struct bg_err **err);
/*
 * The guest stood still: it is to put these right (enum bg_agent_gap_part), with the host's clock and fresh randomness as they are
 * when the message leaves. Without a conversation it is the first of the next one. An agent that cannot: ENOSYS.
 */
int guest_gap(struct guest *guest, uint32_t parts, uint64_t deadline_usec, guest_done_fn done,
	void *userdata, struct guest_call **ret, struct bg_err **err);

/* What an answer said, and between which moments of this host it was written. */
struct guest_reply {
	bool has_time;		       /* of a ping: false from agents that cannot say */
	int64_t sent_usec, heard_usec; /* CLOCK_REALTIME */
	uint64_t sent_up, heard_up;    /* CLOCK_BOOTTIME */
	int64_t time_usec;	       /* the guest's CLOCK_REALTIME */
	uint64_t up_usec;	       /* its CLOCK_BOOTTIME; 0 in a gap's */
	uint32_t done;		       /* enum bg_agent_gap_part */
	int64_t step_usec;
};
/* Of a ping or a gap that was answered, borrowed: from inside its done. */
const struct guest_reply *guest_call_reply(const struct guest_call *call);
void guest_call_free(struct guest_call *call);
BG_DEFINE_UNREF(guest_call, struct guest_call *, guest_call_free)

/*
 * Streams: commands in the guest (agent_proto.h, "Life of a stream"). Windows are kept here, both ways: what
 * a peer sends beyond its own ends the stream, so that neither makes the daemon hold more than that.
 */
struct guest_stream;

struct guest_stream_events {
	/* DATA, EOF, CREDIT, DONE. After DONE there is nothing more. */
	void (*frame)(
		struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata);
	/* Asked for by guest_stream_has_room: there is some again. */
	void (*room)(struct guest_stream *stream, void *userdata);
	/* The conversation, the guest or its agent is gone. Also after DONE, as long as it is not freed. */
	void (*broken)(struct guest_stream *stream, const char *why, void *userdata);
};

/* exec: the payload of BG_AGENT_EXEC. AGENT when there is no conversation. From a callback a stream may be freed. */
int guest_stream_open(struct guest *guest, const uint8_t *exec, size_t len,
	const struct guest_stream_events *events, void *userdata, struct guest_stream **ret,
	struct bg_err **err);
/* A frame of a client for the guest; -EPROTO when a client may not send that, or not so much. */
int guest_stream_send(struct guest_stream *stream, const struct bg_agent_frame *frame);
/* False: the carrier is full, take nothing more from the client until room comes. */
bool guest_stream_has_room(struct guest_stream *stream);
/* Cancels what has not ended. */
void guest_stream_free(struct guest_stream *stream);
BG_DEFINE_UNREF(guest_stream, struct guest_stream *, guest_stream_free)

#endif
