/* SPDX-License-Identifier: ISC */
/* See revive.h. */
#include "daemon/vm/revive.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

enum {
	FIRST_S = 1,
	LAST_S = 300,	   /* between two tries; doubled from the first on */
	LIVED_WELL_S = 60, /* one that was up so long begins with the first again */
	BOOT_ID_MAX = 64,
};

struct revival {
	struct vm *vm;
	bool fell; /* recovery has seen it down against its user's wish */
	unsigned delay_s;
	int64_t at;
	struct loop_source *timer;
	struct op_watch *start; /* under way, and ours */
};

static const char *const policy_names[] = {
	[RESTART_NO] = "no",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_ALWAYS] = "always",
};
static_assert(ARRAY_SIZE(policy_names) == RESTART_MAX_, "one name per policy");

const char *restart_policy_str(int policy)
{
	return policy >= 0 && policy < RESTART_MAX_ ? policy_names[policy]
						    : policy_names[RESTART_NO];
}

int restart_policy_of(const char *word)
{
	for (int i = 0; word && i < RESTART_MAX_; i++)
		if (bg_streq(word, policy_names[i]))
			return i;
	return RESTART_NO;
}

/* Of the host, or of nothing where that is not known. */
static const char *boot_id(void)
{
	static char id[BOOT_ID_MAX];
	_free_ char *text = NULL;
	size_t len = 0;

	if (!*id && bg_read_file_at(AT_FDCWD, BOOT_ID_FILE, BOOT_ID_MAX, &text, &len) >= 0)
		snprintf(id, sizeof(id), "%.*s", (int)strcspn(text, "\n"), text);
	return *id ? id : "unknown";
}

static struct revival *of(struct vm *vm)
{
	if (!vm->revival)
		vm->revival = calloc(1, sizeof(*vm->revival));
	if (vm->revival)
		vm->revival->vm = vm;
	return vm->revival;
}

static void put_off(struct revival *r)
{
	loop_source_free(TAKE_PTR(r->timer));
	op_watch_free(TAKE_PTR(r->start));
	r->at = 0;
}

void revive_clear(struct vm *vm)
{
	if (!vm->revival)
		return;
	put_off(vm->revival);
	free(TAKE_PTR(vm->revival));
}

int64_t revive_at(const struct vm *vm)
{
	return vm->revival ? vm->revival->at : 0;
}

static bool ends(const struct engine *engine)
{
	return engine->stopping || engine->farewell;
}

static void schedule(struct vm *vm);

/* One that is up has its own end; what a user has cancelled is not tried again. */
static void on_started(const struct bg_err *err, void *userdata)
{
	struct revival *r = userdata;
	struct vm *vm = r->vm;
	bool again = err && err->code != BG_ERR_CANCELLED && !vm->vmm;

	op_watch_free(TAKE_PTR(r->start));
	if (again && vm->row->restart != RESTART_NO)
		schedule(vm);
}

static void start(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;
	struct revival *r = of(vm);
	struct op *op;

	if (!r || ends(vm->engine) || vm->row->state != VM_STOPPED)
		return;
	put_off(r);
	if (vm_ask(vm, VM_EV_START, &(struct vm_options){.by_itself = true}, &op, &err) < 0)
		log_err(LOG_WARN, "revive", vm->row->name, err);
	else if (op_watch(op, on_started, r, &r->start) < 0)
		log_msg(LOG_WARN, "revive", "its start is not watched", "vm", vm->row->name, NULL);
}

static void on_time(void *userdata)
{
	struct revival *r = userdata;

	loop_source_free(TAKE_PTR(r->timer));
	r->at = 0;
	start(r->vm);
}

static void schedule(struct vm *vm)
{
	struct revival *r = of(vm);
	char text[16];

	if (!r || ends(vm->engine))
		return;
	put_off(r);
	r->delay_s = r->delay_s ? BG_MIN(r->delay_s * 2, (unsigned)LAST_S) : (unsigned)FIRST_S;
	if (loop_add_timer(vm->engine->loop, "revive", r->delay_s * UINT64_C(1000000), on_time, r,
		    &r->timer) < 0)
		return;
	r->at = time(NULL) + r->delay_s;
	snprintf(text, sizeof(text), "%u", r->delay_s);
	log_msg(LOG_INFO, "revive", "is started again", "vm", vm->row->name, "seconds", text, NULL);
	vm_save(vm);
}

static bool policy_wants(const struct vm *vm, bool bad)
{
	return vm->row->restart == RESTART_ALWAYS ||
	       (vm->row->restart == RESTART_ON_FAILURE && bad);
}

static void user_stopped(struct vm *vm)
{
	free(vm->row->stopped_boot);
	vm->row->stopped_boot = strdup(boot_id());
}

/* A guest that powers off, as it would by `vm stop`. */
static void note_end(struct vm *vm, bool bad)
{
	if (!bad && vm->row->restart != RESTART_ALWAYS)
		user_stopped(vm);
}

void revive_ended(struct vm *vm, bool bad)
{
	note_end(vm, bad);
	if (vm->row->state != VM_STOPPED || !policy_wants(vm, bad))
		return;
	if (vm->revival && time(NULL) - vm->row->started_at >= LIVED_WELL_S)
		vm->revival->delay_s = 0;
	schedule(vm);
}

void revive_found_down(struct vm *vm, bool bad)
{
	struct revival *r = of(vm);

	note_end(vm, bad);
	if (r)
		r->fell = bad;
}

void revive_on_start(struct vm *vm)
{
	revive_clear(vm);
	free(TAKE_PTR(vm->row->stopped_boot));
}

void revive_on_stop(struct vm *vm)
{
	revive_clear(vm);
	user_stopped(vm);
	if (vm->row->state == VM_STOPPED)
		vm_save(vm); /* nothing else is done to it */
}

void revive_on_policy(struct vm *vm)
{
	if (vm->row->restart == RESTART_NO)
		revive_clear(vm);
}

static bool wanted_up(const struct vm *vm)
{
	const char *stopped = vm->row->stopped_boot;

	if (vm->row->state != VM_STOPPED || vm->vmm)
		return false;
	if (vm->row->autostart && (!stopped || !bg_streq(stopped, boot_id())))
		return true;
	return !stopped && policy_wants(vm, vm->revival && vm->revival->fell);
}

void revive_all(struct engine *engine)
{
	struct vm *next;

	for (struct vm *vm = vms_first(engine->vms); vm; vm = next) {
		next = vm->next;
		if (wanted_up(vm)) {
			log_msg(LOG_INFO, "revive", "is started with the daemon", "vm",
				vm->row->name, NULL);
			start(vm);
		}
	}
}
