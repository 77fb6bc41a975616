/* SPDX-License-Identifier: ISC */
/* See vm_await.h. The wait is a start of one's own, which joins the one under way. */
#include "cli/vm_await.h"

#include "cli/jobs.h"
#include "common/json.h"

static bool is_starting(struct cli *cli, const char *name)
{
	_json_ json_t *vm = NULL;
	const char *state;

	if (client_call(cli, CLIENT_NO_START, ROUTE_VM_SHOW, name, NULL, &vm, NULL) < 0)
		return false;
	state = render_text(vm, "state");
	return bg_streq(state, "starting") || bg_streq(state, "creating");
}

static void say_nothing(struct cli *cli, const struct job *job)
{
	(void)cli;
	(void)job;
}

bool vm_await(struct cli *cli, const char *name, struct bg_err **err)
{
	struct job job = {.name = name, .route = ROUTE_VM_START};
	struct cli quiet = *cli;
	bool up;

	if (!err || !*err ||
		((*err)->code != BG_ERR_VM_STATE && (*err)->code != BG_ERR_VM_NOT_READY) ||
		!is_starting(cli, name))
		return false;
	quiet.json = quiet.timing = false;
	job.keep_error = true;
	(void)jobs_run(&quiet, "start", &job, 1, say_nothing);
	up = job.state == JOB_DONE;
	if (up || job.err) {
		bg_err_free(*err);
		*err = TAKE_PTR(job.err);
	}
	jobs_done(&job, 1);
	return up;
}
