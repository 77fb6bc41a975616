/* SPDX-License-Identifier: ISC */
/* The unpack job: a root file system as a tar stream becomes the two images of rootfs.h. */
#include "worker/rootfs.h"

static int take_all(struct rootfs *u, struct source *src, struct bg_err **err)
{
	struct archive_entry *entry;
	int r;

	while ((r = source_next(src, &entry, err)) > 0) {
		r = rootfs_take(u, src, entry, err);
		if (r < 0)
			return r;
	}
	if (r >= 0 && rootfs_entries(u) == 0)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG, "the archive is empty");
	return r;
}

int job_unpack(struct job *job, json_t **ret, struct bg_err **err)
{
	_unref_(rootfs) struct rootfs *u = NULL;
	_unref_(source) struct source *src = NULL;
	int r = rootfs_new(job, job->fd[1], job->fd[2], false, &u, err);

	if (r >= 0)
		r = source_open_fd(job, job->fd[0], SOURCE_TAR, &src, err);
	if (r >= 0)
		r = take_all(u, src, err);
	return r < 0 ? r : rootfs_finish(u, ret, err);
}
