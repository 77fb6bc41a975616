/* SPDX-License-Identifier: ISC */
/*
 * FICLONE shares the source's blocks: no data moves, so it is done on the loop's thread. A source
 * on another file system (an image that was only registered) is copied instead.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "common/fd.h"
#include "daemon/driver/storage_impl.h"

static bool wants_copy(int errnum)
{
	return errnum == EXDEV || errnum == EOPNOTSUPP || errnum == ENOTTY || errnum == EINVAL;
}

static int reflink_clone(struct loop *loop, struct jobs *jobs, const char *source,
	const char *target, uint64_t size, storage_progress_fn progress, storage_done_fn done,
	void *userdata, struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	int r = storage_call_new(jobs, source, target, size, progress, done, userdata, &call, err);

	if (r < 0)
		return r;
	if (ioctl(call->tmp_fd, FICLONE, call->source_fd) < 0) {
		if (!wants_copy(errno))
			return storage_call_fail(call, errno, err);
		storage_call_free(TAKE_PTR(call));
		return storage_copy.clone(
			loop, jobs, source, target, size, progress, done, userdata, ret, err);
	}
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

const struct storage_driver storage_reflink = {.name = "reflink", .clone = reflink_clone};
