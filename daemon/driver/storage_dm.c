/* SPDX-License-Identifier: ISC */
/*
 * storage_dm.c: a root disk as an overlay, a sparse file that keeps what differs from the image.
 * Nothing is copied; banger-privhelper-disk makes a block device of image and overlay at each start
 * (daemon/driver/disk.h, common/disk_layout.h).
 */
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "daemon/driver/storage_impl.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* As privhelper/disk_file.c has it, which decides. */
bool storage_dm_fs_ok(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 &&
	       (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC ||
		       fs.f_type == XFS_SUPER_MAGIC);
}

bool storage_dm_fits(const char *source)
{
	struct stat st;

	return stat(source, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       st.st_nlink == 1 && bg_disk_size_ok((uint64_t)st.st_size, BG_DISK_BASE_MAX) &&
	       storage_dm_fs_ok(source);
}

static int dm_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	struct stat st;
	int r = storage_call_new(jobs, source, target, size, progress, done, userdata, &call, err);

	if (r < 0)
		return r;
	if (fstat(call->source_fd, &st) < 0)
		return storage_call_fail(call, errno, err);
	r = bg_grow_file(call->tmp_fd, bg_disk_overlay_size((uint64_t)st.st_size, call->size));
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

const struct storage_driver storage_dm = {.name = "dm-snapshot", .clone = dm_clone};
