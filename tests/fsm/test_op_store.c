/* SPDX-License-Identifier: ISC */
/* Operations whose store does not answer: they say what they wait for. */
#include <signal.h>

#include "common/json.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct op *create(const char *name)
{
	struct vm_request request = {.name = name, .vcpus = 1};
	struct op *op;

	CHECK_INT(vm_create(&w.engine, &request, &op, NULL), 0);
	return op;
}

static bool waits_for_store(struct world *world, void *userdata)
{
	_json_ json_t *record = op_to_json(userdata);
	const json_t *stages = json_object_get(record, "stages");
	const json_t *last = json_array_get(stages, json_array_size(stages) - 1);
	const char *text = json_string_value(json_object_get(last, "text"));

	return text && strstr(text, "waiting for the store (process ") == text;
}

static void check_that_it_says(struct op *op, pid_t store)
{
	world_run(&w, waits_for_store, op);
	CHECK_INT(kill(store, SIGCONT), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK(!waits_for_store(&w, op));
}

static int step_save(struct op *op, void *ctx, struct bg_err **err)
{
	return op_commit(op, err);
}

static const struct op_step save_steps[] = {{"save", "saving it", false, step_save, NULL, NULL}};
static const struct op_plan saves = {
	.kind = "vm.save", .acts_first = true, .steps = save_steps, .n_steps = 1};

/* Before its first step, and in the middle of a step. */
TEST(one_that_waits_for_the_store_says_so)
{
	_json_ json_t *status = NULL;
	struct op *op;
	pid_t store;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	status = store_status(w.engine.store);
	store = (pid_t)json_integer_value(json_object_get(status, "pid"));
	CHECK_INT(kill(store, SIGSTOP), 0);
	check_that_it_says(create("b"), store);
	CHECK_INT(kill(store, SIGSTOP), 0);
	CHECK_INT(op_start(w.engine.ops, &saves, "a", NULL, &op, NULL), 0);
	check_that_it_says(op, store);
}
