/* SPDX-License-Identifier: ISC */
/*
 * See vm_await.h. Who needs the agent alone follows the operation that starts the VM until the guest has
 * answered; who needs all of it makes a start of its own, which joins that one.
 */
#include "cli/vm_await.h"

#include "cli/jobs.h"
#include "common/json.h"

/* The VM's record while it starts; NULL when it does not. */
static json_t *find_starting(struct cli *cli, const char *name)
{
	_json_ json_t *vm = NULL;
	const char *state;

	if (client_call(cli, CLIENT_NO_START, ROUTE_VM_SHOW, name, NULL, &vm, NULL) < 0)
		return NULL;
	state = render_text(vm, "state");
	return bg_streq(state, "starting") || bg_streq(state, "creating") ? TAKE_PTR(vm) : NULL;
}

static void say_nothing(struct cli *cli, const struct job *job)
{
	(void)cli;
	(void)job;
}

/* The stage "boot" ends when the agent answers. */
static bool agent_answers(const json_t *op)
{
	const json_t *stages = json_object_get(op, "stages"), *stage;
	size_t i;

	json_array_foreach (stages, i, stage)
		if (bg_streq(render_text(stage, "name"), "boot") &&
			bg_streq(render_text(stage, "state"), "done"))
			return true;
	return false;
}

bool vm_await(struct cli *cli, const char *name, enum vm_await until, struct bg_err **err)
{
	struct job job = {.name = name, .route = ROUTE_VM_START, .keep_error = true};
	_json_ json_t *vm = NULL;
	struct cli quiet = *cli;
	const char *operation;
	bool up;

	if (!err || !*err ||
		((*err)->code != BG_ERR_VM_STATE && (*err)->code != BG_ERR_VM_NOT_READY))
		return false;
	vm = find_starting(cli, name);
	if (!vm)
		return false;
	operation = render_text(vm, "operation");
	if (until == VM_AWAIT_AGENT && *operation) {
		job.follows = operation;
		job.enough = agent_answers;
	}
	quiet.json = quiet.timing = false;
	(void)jobs_run(&quiet, "start", &job, 1, say_nothing);
	up = job.state == JOB_DONE;
	if (up || job.err) {
		bg_err_free(*err);
		*err = TAKE_PTR(job.err);
	}
	jobs_done(&job, 1);
	return up;
}
