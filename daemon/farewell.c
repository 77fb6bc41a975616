/* SPDX-License-Identifier: ISC */
/* See farewell.h. A look four times a second at what is still up: VMs may also come up meanwhile,
 * by operations that were waiting. */
#include "daemon/farewell.h"

#include "common/log.h"
#include "daemon/engine.h"

#define STEP_USEC 250000ULL

enum { STEPS_A_S = 4, STEPS_MAX = 80 * STEPS_A_S, STOP_S = 60 };

static void say_why(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;

	vm->farewell = false;
	if (vm->row->state == VM_SUSPENDED)
		return; /* that was under way, and is better */
	bg_err_set(&err, BG_ERR_VM_SESSION_ENDED, ECANCELED,
		"VM \"%s\" was shut down because your login session ended", vm->row->name);
	vm_set_error(vm, err);
	vm_save(vm);
}

/* A start under way is ended by it. */
static void ask(struct vm *vm)
{
	const struct vm_options options = {.stop_timeout_s = STOP_S, .by_itself = true};
	_err_ struct bg_err *err = NULL;
	struct op *op;

	if (vm_ask(vm, VM_EV_STOP, &options, &op, &err) >= 0)
		vm->farewell = true;
	else
		log_err(LOG_WARN, "farewell", vm->row->name, err);
}

static bool any_is_up(struct engine *engine)
{
	struct vm *vm, *next;
	bool up = false;

	for (vm = vms_first(engine->vms); vm; vm = next) {
		next = vm->next;
		if (vm->farewell && !vm->vmm && !vm->op)
			say_why(vm);
		if (!vm->vmm && !vm->op)
			continue;
		up = true;
		if (!vm->farewell)
			ask(vm);
	}
	return up;
}

static void on_step(void *userdata)
{
	struct engine *engine = userdata;

	if (any_is_up(engine) && ++engine->farewell_steps < STEPS_MAX)
		return;
	loop_source_free(TAKE_PTR(engine->farewell));
	engine_stop(engine);
}

void farewell_begin(struct engine *engine)
{
	if (engine->stopping || engine->farewell)
		return;
	log_msg(LOG_INFO, "engine", "the session ends: VMs are shut down", NULL);
	if (loop_add_ticker(
		    engine->loop, "farewell", STEP_USEC, on_step, engine, &engine->farewell) < 0)
		engine_stop(engine);
}
