/* SPDX-License-Identifier: ISC */
/* For tests of a VM's life: the target is as long as asked and empty; no worker, no shared blocks.
 */
#include "common/fd.h"
#include "daemon/driver/storage_impl.h"

static unsigned fail_in;

void storage_fake_fail(unsigned nth)
{
	fail_in = nth;
}

static int fake_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	int r = storage_call_new(jobs, source, target, size, progress, done, userdata, &call, err);

	if (r < 0)
		return r;
	if (fail_in > 0 && --fail_in == 0)
		return storage_call_fail(call, ENOSPC, err);
	r = bg_grow_file(call->tmp_fd, call->size);
	if (r < 0)
		return storage_call_fail(call, -r, err);
	r = storage_call_commit(call, err);
	if (r >= 0)
		r = storage_call_defer(call, loop, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(call);
	return 0;
}

const struct storage_driver storage_fake = {.name = "fake", .clone = fake_clone};
