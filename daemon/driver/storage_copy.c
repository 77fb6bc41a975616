/* SPDX-License-Identifier: ISC */
/* A copy that keeps holes, made by a worker (JOB_COPY): works on every file system. */
#include "common/json.h"
#include "daemon/driver/storage_impl.h"

static void on_progress(const json_t *progress, void *userdata)
{
	struct storage_call *call = userdata;
	int64_t done = 0, total = 0;

	(void)bg_json_get_int(progress, "done", 0, INT64_MAX, &done);
	(void)bg_json_get_int(progress, "total", 0, INT64_MAX, &total);
	if (call->progress)
		call->progress((uint64_t)done, (uint64_t)total, call->userdata);
}

/* The worker knows no names: its error gains them here. */
static void on_done(const json_t *result, struct bg_err *err, void *userdata)
{
	struct storage_call *call = userdata;

	if (err &&
		(err->code == BG_ERR_NO_SPACE || err->errnum == ENOSPC || err->errnum == EDQUOT)) {
		storage_call_fail(call, ENOSPC, &call->err);
	} else if (err) {
		call->err = bg_err_copy(err);
		bg_err_context(&call->err, "clone %s to %s", call->source, call->target);
	} else {
		(void)storage_call_commit(call, &call->err);
	}
	storage_call_finish(call, call->err);
}

static int copy_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	json_t *params;
	int fds[2];
	int r = storage_call_new(source, target, size, progress, done, userdata, &call, err);

	if (r < 0)
		return r;
	params = json_pack("{s:I}", "size", (json_int_t)call->size);
	fds[0] = call->source_fd;
	fds[1] = call->tmp_fd;
	r = job_start(jobs, JOB_COPY, params, fds, ARRAY_SIZE(fds), on_progress, on_done, call,
		&call->job, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(call);
	return 0;
}

const struct storage_driver storage_copy = {.name = "copy", .clone = copy_clone};
