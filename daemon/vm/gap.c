/* SPDX-License-Identifier: ISC */
/* See gap.h. */
#include "daemon/vm/gap.h"

#include <assert.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "daemon/driver/guest.h"
#include "daemon/engine.h"

#define UP_MAX_USEC (1ULL << 60) /* no machine runs that long, and it can be reckoned with */

enum {
	RIGHT_USEC = 100 * 1000, /* the guest's clock is right when it is off by no more */
	LAG_USEC = 1000 * 1000,	 /* less is not a gap that went unannounced: clocks drift */
	/* An answer proves no more than how long it took: on a busy host one that took little is waited for. */
	TRIES_MAX = 5,
	DEADLINE_USEC = 60 * 1000 * 1000,
};

static const char *const whys[] = {"resume", "fork", "host_sleep", "clock"};
static_assert(ARRAY_SIZE(whys) == GAP_MAX_, "a word for each reason");

static void send_message(struct vm *vm, uint32_t parts);

static void publish(struct vm *vm)
{
	events_publish(vm->engine->events, "vm", "changed", vm->row->name, vm_to_json(vm));
}

/* What was not done is said too. */
static void log_result(const struct vm *vm)
{
	const struct gap *gap = &vm->gap;
	uint32_t all = BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK |
		       (vm->row->address ? BG_AGENT_GAP_NET : 0);
	char step[32];

	snprintf(step, sizeof(step), "%lld", (long long)(gap->step_usec / 1000));
	log_msg((gap->done & all) == all ? LOG_INFO : LOG_WARN, "gap",
		(gap->done & all) == all ? "the guest is right again"
					 : "the guest is right again only in part",
		"vm", vm->row->name, "after", whys[gap->why], "clock",
		gap->done & BG_AGENT_GAP_CLOCK ? "right" : "not set", "step_ms", step, "randomness",
		gap->done & BG_AGENT_GAP_RANDOM ? "reseeded" : "not reseeded", "network",
		gap->done & BG_AGENT_GAP_NET ? "announced" : "not announced", NULL);
}

static void finish(struct vm *vm)
{
	struct gap *gap = &vm->gap;

	gap->owed = false;
	gap->seen = false; /* what it is behind by has changed */
	gap->recorded = true;
	gap->at = (int64_t)(bg_now_usec(CLOCK_REALTIME) / 1000000);
	log_result(vm);
	publish(vm);
}

/* The parts that another message has to see to; 0: the clock is proven right, or more tries would not help. */
static uint32_t still_wrong(const struct gap *gap, const struct guest_reply *reply)
{
	bool behind = reply->time_usec < reply->sent_usec - RIGHT_USEC;
	bool ahead = reply->time_usec > reply->heard_usec + RIGHT_USEC;
	bool unsure = reply->heard_usec - reply->sent_usec > RIGHT_USEC;

	if (gap->tries >= TRIES_MAX || !(reply->done & BG_AGENT_GAP_CLOCK))
		return 0;
	return !behind && !ahead && !unsure ? 0
					    : BG_AGENT_GAP_CLOCK | (ahead ? BG_AGENT_GAP_BACK : 0);
}

static void take_answer(struct vm *vm, const struct guest_reply *reply)
{
	struct gap *gap = &vm->gap;
	uint32_t parts = still_wrong(gap, reply);

	gap->done |= reply->done;
	if (__builtin_add_overflow(gap->step_usec, reply->step_usec, &gap->step_usec))
		gap->step_usec = 0; /* no clock goes that far */
	if (parts)
		send_message(vm, parts);
	else
		finish(vm);
}

/* Without an answer it stays owed: for the next conversation, or the next sign of life. */
static void on_done(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;
	bool cannot = err && err->errnum == ENOSYS;
	struct guest_reply reply = *guest_call_reply(vm->gap.call);

	guest_call_free(TAKE_PTR(vm->gap.call)); /* err goes with it */
	if (cannot)
		finish(vm);
	else if (!err)
		take_answer(vm, &reply);
}

static void send_message(struct vm *vm, uint32_t parts)
{
	_err_ struct bg_err *err = NULL;
	struct gap *gap = &vm->gap;

	gap->tries++;
	guest_call_free(TAKE_PTR(gap->call));
	if (guest_gap(vm->guest, parts, DEADLINE_USEC, on_done, vm, &gap->call, &err) >= 0)
		return;
	gap->call = NULL;
	if (err->errnum == ENOSYS)
		finish(vm);
	else
		log_err(LOG_WARN, "gap", vm->row->name, err);
}

/* All that is owed, from the beginning. */
static void begin(struct vm *vm)
{
	struct gap *gap = &vm->gap;

	gap->tries = 0;
	gap->done = 0;
	gap->step_usec = 0;
	gap->recorded = false;
	if (vm->guest && !vm->paused)
		send_message(vm, BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK | BG_AGENT_GAP_NET);
}

void vm_gap(struct vm *vm, enum gap_why why)
{
	vm->gap.owed = true;
	vm->gap.why = why;
	begin(vm);
}

void vm_gap_clear(struct vm *vm)
{
	guest_call_free(vm->gap.call);
	vm->gap = (struct gap){0};
}

static void on_clocks(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;
	bool answered = !err;
	struct guest_reply reply = *guest_call_reply(vm->gap.call);

	guest_call_free(TAKE_PTR(vm->gap.call)); /* err goes with it */
	if (answered)
		vm_gap_on_pong(vm, &reply);
}

/* A host may have slept while no daemon ran, and a guest without a battery's clock starts with one that lags. */
static void ask_clocks(struct vm *vm)
{
	struct gap *gap = &vm->gap;

	if (!gap->call && guest_ping(vm->guest, DEADLINE_USEC, on_clocks, vm, &gap->call, NULL) < 0)
		gap->call = NULL;
}

void vm_gap_on_agent(struct vm *vm, bool connected)
{
	struct gap *gap = &vm->gap;

	if (!connected)
		gap->met = gap->seen = false;
	if (!connected || gap->met)
		return;
	gap->met = true;
	if (!gap->owed)
		ask_clocks(vm);
	else if (!gap->call)
		begin(vm);
}

/* Only from an answer that came at once: the upper bound of one that took long has the gap in it. */
static void keep_behind(struct gap *gap, const struct guest_reply *reply)
{
	if (reply->heard_up - reply->sent_up > LAG_USEC / 2)
		return;
	gap->behind_usec = (int64_t)reply->heard_up - (int64_t)reply->up_usec;
	gap->seen = true;
}

/*
 * A clock that its user has set back is not a gap: it lags, but the guest has not stood still since it was last asked. In the
 * first answer of a conversation only the wall clock can tell.
 */
static bool stood_still(const struct gap *gap, const struct guest_reply *reply)
{
	int64_t least = (int64_t)reply->sent_up - (int64_t)reply->up_usec;

	if (reply->time_usec >= reply->sent_usec - LAG_USEC)
		return false;
	return !gap->seen || least - gap->behind_usec > LAG_USEC;
}

void vm_gap_on_pong(struct vm *vm, const struct guest_reply *reply)
{
	struct gap *gap = &vm->gap;
	bool stood;

	if (gap->owed && !gap->call)
		begin(vm);
	if (gap->owed || !reply->has_time || reply->up_usec > UP_MAX_USEC)
		return;
	stood = stood_still(gap, reply);
	keep_behind(gap, reply);
	if (stood)
		vm_gap(vm, GAP_CLOCK);
}

/* This process may have waited for a processor between any two of the clocks: that is not a sleep. */
void gap_look(struct engine *engine, int64_t *asleep_usec)
{
	int64_t before = (int64_t)bg_now_usec(CLOCK_MONOTONIC);
	int64_t up = (int64_t)bg_now_usec(CLOCK_BOOTTIME);
	int64_t least = up - (int64_t)bg_now_usec(CLOCK_MONOTONIC);
	bool slept = *asleep_usec && least - *asleep_usec > LAG_USEC;

	*asleep_usec = up - before + 1;
	if (!slept)
		return;
	log_msg(LOG_INFO, "gap", "this host has slept", NULL);
	for (struct vm *vm = vms_first(engine->vms); vm; vm = vm->next)
		if (vm->vmm && vm->row->state == VM_RUNNING && !vm->paused)
			vm_gap(vm, GAP_HOST_SLEEP);
}

json_t *vm_gap_json(const struct vm *vm)
{
	const struct gap *gap = &vm->gap;
	char at[BG_TIME_TEXT];

	if (!gap->recorded)
		return json_null();
	return json_pack("{s:s, s:s, s:b, s:I, s:b, s:b}", "at", bg_time_print(gap->at, at),
		"after", whys[gap->why], "clock", (gap->done & BG_AGENT_GAP_CLOCK) != 0, "step_ms",
		(json_int_t)(gap->step_usec / 1000), "randomness",
		(gap->done & BG_AGENT_GAP_RANDOM) != 0, "network",
		(gap->done & BG_AGENT_GAP_NET) != 0);
}

const char *vm_agent_note(const struct vm *vm)
{
	if (!vm->guest || !guest_connected(vm->guest) || (guest_can(vm->guest) & BG_AGENT_CAN_GAP))
		return NULL;
	return "its agent is of an older banger: after a pause or a sleep of this host its clock "
	       "stays behind and its randomness is not renewed; a stop and start brings the new "
	       "agent";
}
