/* SPDX-License-Identifier: ISC */
/* See health.h. One timer for all VMs. */
#include "daemon/vm/health.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/gap.h"

/*
 * While somebody looks a VM that has fallen silent is shown as such within 9.5 s: NEAR and a tick until it is asked, LATE until that
 * is given up. Unwatched ticks are as long as still fits in 10 s for one who has just begun to follow the events.
 */
enum {
	TICK_USEC = 1500 * 1000,
	IDLE_TICK_USEC = 5 * 1000 * 1000,
	NEAR_USEC = 3 * 1000 * 1000,
	FAR_USEC = 60 * 1000 * 1000,
	IDLE_PING_USEC = 14 * 1000 * 1000, /* every third tick while nobody looks */
	LATE_USEC = 5 * 1000 * 1000,
	LOOK_USEC = 3 * 1000 * 1000,	 /* a reader of records waits no longer */
	WATCHED_USEC = 30 * 1000 * 1000, /* after a record was read */
	STAT_MAX = 1024,
};

struct look {
	LIST_ENTRY(look) link;
	void (*fn)(void *userdata);
	void *userdata;
};

struct health {
	struct engine *engine;
	struct loop_source *timer, *late;
	uint64_t watched_until, pinged_usec;
	int64_t asleep_usec; /* see gap_look */
	LIST_HEAD(, look) looks;
};

const char *vm_health(const struct vm *vm)
{
	if (!vm->vmm || vm->row->state != VM_RUNNING)
		return NULL;
	if (vm->paused)
		return "paused";
	if (vm->vmm_silent)
		return "vmm_silent";
	return vm->agent_silent || !vm->guest || !guest_connected(vm->guest) ? "agent_silent"
									     : "ok";
}

void vm_health_clear(struct vm *vm)
{
	guest_call_free(TAKE_PTR(vm->ping));
	vmm_call_free(TAKE_PTR(vm->vmm_query));
	vm->agent_silent = vm->vmm_silent = false;
}

static void set_silent(struct vm *vm, bool agent, bool vmm)
{
	if (vm->agent_silent == agent && vm->vmm_silent == vmm)
		return;
	vm->agent_silent = agent;
	vm->vmm_silent = vmm;
	log_msg(agent || vmm ? LOG_WARN : LOG_INFO, "health",
		vmm	? "the VMM does not answer"
		: agent ? "the agent does not answer"
			: "answers",
		"vm", vm->row->name, NULL);
	events_publish(vm->engine->events, "vm", "changed", vm->row->name, vm_to_json(vm));
}

/* Field 3 of /proc/PID/stat (proc(5)), behind the name in brackets: T is a process that was stopped. */
static bool is_stopped(const struct vm *vm)
{
	char path[64];
	_free_ char *text = NULL;
	const char *p;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)vm->row->pid);
	if (bg_read_file_at(AT_FDCWD, path, STAT_MAX, &text, NULL) < 0)
		return false;
	p = strrchr(text, ')');
	return p && p[1] == ' ' && (p[2] == 'T' || p[2] == 't');
}

static void on_vmm_answer(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;
	bool silent = err != NULL;

	vmm_call_free(TAKE_PTR(vm->vmm_query)); /* err goes with it */
	if (vm->agent_silent)
		set_silent(vm, true, silent);
}

/* Its agent has not answered: is it the whole machine? */
static void ask_vmm(struct vm *vm)
{
	bool stopped = is_stopped(vm);

	set_silent(vm, true, stopped || vm->vmm_silent);
	if (!stopped && !vm->vmm_query)
		(void)vmm_send_command(vm->vmm, VMM_QUERY, on_vmm_answer, vm, &vm->vmm_query, NULL);
}

/* ---- looks ---- */

static bool is_running(const struct vm *vm)
{
	return vm->vmm && vm->row->state == VM_RUNNING && !vm->paused;
}

static void end_looks(struct health *health)
{
	struct look *look;

	loop_source_free(TAKE_PTR(health->late));
	while ((look = LIST_FIRST(&health->looks))) {
		LIST_REMOVE(look, link);
		look->fn(look->userdata);
		free(look);
	}
}

static void end_looks_if_all_answered(struct health *health)
{
	for (const struct vm *vm = vms_first(health->engine->vms); vm; vm = vm->next)
		if (vm->ping && !vm->agent_silent)
			return;
	end_looks(health);
}

static void on_pong(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;
	struct health *health = vm->engine->health;
	bool late = err && err->errnum == ETIMEDOUT;
	bool answered = !err;
	struct guest_reply reply = *guest_call_reply(vm->ping);

	guest_call_free(TAKE_PTR(vm->ping)); /* err goes with it */
	if (answered) {
		set_silent(vm, false, false);
		vm_gap_on_pong(vm, &reply);
	} else if (late && is_running(vm)) {
		ask_vmm(vm);
	}
	end_looks_if_all_answered(health);
}

static void ping(struct vm *vm)
{
	if (!vm->ping && guest_ping(vm->guest, LATE_USEC, on_pong, vm, &vm->ping, NULL) < 0)
		vm->ping = NULL;
}

/* What has not answered by now is shown as silent; a later answer takes that back. */
static void on_look_late(void *userdata)
{
	struct health *health = userdata;

	for (struct vm *vm = vms_first(health->engine->vms); vm; vm = vm->next)
		if (vm->ping && is_running(vm))
			ask_vmm(vm);
	end_looks(health);
}

/* True: it was asked, and its answer is worth waiting for. */
static bool look_at(struct vm *vm, uint64_t now)
{
	if (!is_running(vm) || !vm->guest || !guest_connected(vm->guest) || vm->agent_silent ||
		now - guest_heard_usec(vm->guest) < NEAR_USEC)
		return false;
	if (is_stopped(vm)) {
		ask_vmm(vm);
		return false;
	}
	ping(vm);
	return vm->ping != NULL;
}

bool health_look(
	struct health *health, const char *name, void (*fn)(void *userdata), void *userdata)
{
	uint64_t now = loop_now_usec();
	struct look *look;
	bool waits = false;

	if (!health)
		return false;
	health->watched_until = now + WATCHED_USEC;
	for (struct vm *vm = vms_first(health->engine->vms); vm; vm = vm->next)
		if (!name || bg_streq(vm->row->name, name))
			waits |= look_at(vm, now);
	look = waits ? calloc(1, sizeof(*look)) : NULL;
	if (!look || (!health->late && loop_add_timer(health->engine->loop, "health", LOOK_USEC,
					       on_look_late, health, &health->late) < 0)) {
		free(look);
		return false;
	}
	*look = (struct look){.fn = fn, .userdata = userdata};
	LIST_INSERT_HEAD(&health->looks, look, link);
	return true;
}

/* ---- the timer ---- */

static void on_tick(void *userdata);

static bool is_watched(const struct health *health)
{
	return loop_now_usec() < health->watched_until || events_followed(health->engine->events);
}

static void next_tick(struct health *health)
{
	uint64_t usec = is_watched(health) ? TICK_USEC
					   : loop_until_multiple(loop_now_usec(), IDLE_TICK_USEC);

	loop_source_free(TAKE_PTR(health->timer));
	if (loop_add_timer(health->engine->loop, "health", usec, on_tick, health, &health->timer) <
		0)
		log_msg(LOG_ERROR, "health", "out of memory: VMs are not watched any more", NULL);
}

/* True: its agent is to be asked, for nothing was heard of it for that long. */
static bool tend(struct vm *vm, uint64_t now, uint64_t interval)
{
	if (!is_running(vm))
		return false;
	if (!vm->guest || !guest_connected(vm->guest)) {
		set_silent(vm, false, is_stopped(vm));
		return false;
	}
	return !vm->ping && now - guest_heard_usec(vm->guest) >= interval;
}

static void ping_all(struct health *health, uint64_t now)
{
	for (struct vm *vm = vms_first(health->engine->vms); vm; vm = vm->next)
		if (tend(vm, now, NEAR_USEC))
			ping(vm);
}

/* One at a time however many there are: the one that nothing was heard of for longest. */
static void ping_one(struct health *health, uint64_t now)
{
	struct vm *longest = NULL;
	bool rests = now - health->pinged_usec < IDLE_PING_USEC;

	for (struct vm *vm = vms_first(health->engine->vms); vm; vm = vm->next)
		if (tend(vm, now, FAR_USEC) && !rests &&
			(!longest ||
				guest_heard_usec(vm->guest) < guest_heard_usec(longest->guest)))
			longest = vm;
	if (!longest)
		return;
	health->pinged_usec = now;
	ping(longest);
}

static void on_tick(void *userdata)
{
	struct health *health = userdata;

	gap_look(health->engine, &health->asleep_usec);
	if (is_watched(health))
		ping_all(health, loop_now_usec());
	else
		ping_one(health, loop_now_usec());
	next_tick(health);
}

int health_new(struct engine *engine, struct health **ret, struct bg_err **err)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	health->engine = engine;
	LIST_INIT(&health->looks);
	gap_look(engine, &health->asleep_usec);
	next_tick(health);
	*ret = health;
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	end_looks(health);
	loop_source_free(health->timer);
	free(health);
}
