/* SPDX-License-Identifier: ISC */
/*
 * storage_cow.c: a root disk as a file that keeps only what differs from the image, which the VMM has too, read-only,
 * and which the guest joins with it (common/disk_layout.h). Nothing of the image is copied, on any file system and without
 * a helper: the file begins as a copy of the image's seed, a few hundred KiB.
 */
#include <sys/stat.h>

#include "common/disk_layout.h"
#include "daemon/driver/storage_impl.h"

bool storage_cow_fits(const char *source)
{
	struct stat st;

	return stat(source, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= BG_COW_CHUNK &&
	       (uint64_t)st.st_size <= BG_DISK_BASE_MAX;
}

static int cow_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	int r = storage_call_new(jobs, source, target, size, progress, done, userdata, &call, err);

	if (r < 0)
		return r;
	r = storage_copy_here(call);
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

const struct storage_driver storage_cow = {.name = "guest-cow", .clone = cow_clone};
