/* SPDX-License-Identifier: ISC */
/*
 * gap.h: what a guest needs that stood still without knowing it: after a pause or suspend, a fork, or a sleep of this host. Its
 * agent gets the host's time and fresh randomness (common/agent_proto.h, "Gaps"), and the VM's record says what came of it. Who
 * resumes a VM calls vm_gap; what nobody says is noticed from the answers to health.c's pings and at its timer.
 */
#ifndef BG_DAEMON_VM_GAP_H
#define BG_DAEMON_VM_GAP_H

#include <jansson.h>

#include "common/base.h"

struct engine;
struct guest_call;
struct guest_reply;
struct vm;

enum gap_why {
	GAP_RESUME, /* it was paused or suspended */
	GAP_FORK,
	GAP_HOST_SLEEP,
	GAP_CLOCK, /* its clock was found to lag */
	GAP_MAX_
};

/* Part of struct vm, all zero at first. */
struct gap {
	struct guest_call *call; /* the message; or, when none is owed, a ping */
	enum gap_why why;
	bool owed;	/* not answered yet */
	bool met;	/* the conversation that is open was asked for its clocks */
	bool seen;	/* behind_usec is known, in this conversation */
	unsigned tries; /* messages so far */
	uint32_t done;	/* enum bg_agent_gap_part, of all answers */
	int64_t step_usec, at;
	int64_t behind_usec; /* the guest's CLOCK_BOOTTIME behind ours, at most, when it was last asked */
	bool recorded;	     /* why, done, step_usec and at are of a gap that is over */
};

/*
 * It runs again: call this as soon as the VMM has said so (or the guest's conversation is being opened), with vm->paused false.
 * The message is in front of every stream that is asked for later. Never fails or blocks; a second call begins anew.
 */
void vm_gap(struct vm *vm, enum gap_why why);
/* Its process is gone, or another one begins. */
void vm_gap_clear(struct vm *vm);
/* Each news of its agent. */
void vm_gap_on_agent(struct vm *vm, bool connected);
/* Its agent has answered a ping. */
void vm_gap_on_pong(struct vm *vm, const struct guest_reply *reply);
/*
 * Did this host sleep since the last call? Then all that runs is put right. *asleep_usec is the caller's, 0 at first: how much
 * CLOCK_BOOTTIME was ahead of CLOCK_MONOTONIC at most, plus one.
 */
void gap_look(struct engine *engine, int64_t *asleep_usec);

/* What came of the last one since its process began: an object; or null. */
json_t *vm_gap_json(const struct vm *vm);
/* What its agent cannot do for want of an update: a sentence, static. NULL: nothing. */
const char *vm_agent_note(const struct vm *vm);

#endif
