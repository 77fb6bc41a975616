/* SPDX-License-Identifier: ISC */
/* The mkfs job: an empty ext4 file system of a given size. */
#include "worker/ext4.h"
#include "worker/job.h"

static int make(struct job *job, const struct ext4_opts *opts, uint32_t mode)
{
	const struct ext4_attr root = {.mode = mode};
	_unref_(ext4) struct ext4 *e = NULL;
	int r = ext4_create(job->fd[0], opts, &e);

	if (r >= 0)
		r = ext4_mkdir(e, "/", &root, NULL);
	if (r >= 0)
		r = ext4_finish(e, opts->max_size, 0, NULL);
	return r;
}

int job_mkfs(struct job *job, json_t **ret, struct bg_err **err)
{
	struct ext4_opts opts = {.max_entries = 1};
	int64_t size, mode = 0755;
	const char *label = NULL;
	int r = bg_json_need_int(job->params, "size", BG_ERR_WORKER,
		(int64_t)(BG_DISK_MIB_MIN * MIB), (int64_t)BG_DISK_MIB_MAX << 20, &size, err);

	if (r >= 0)
		r = bg_json_or_str(job->params, "label", BG_ERR_WORKER, &label, err);
	if (r >= 0)
		r = bg_json_or_int(job->params, "root_mode", BG_ERR_WORKER, 0, 07777, &mode, err);
	if (r < 0)
		return r;
	opts.label = label;
	opts.max_size = (uint64_t)size;
	opts.journal_size = ext4_journal_for(opts.max_size);
	r = make(job, &opts, (uint32_t)mode);
	if (r < 0)
		return job_write_err(
			r, err, "make a file system of %lld MiB", (long long)(size >> 20));
	*ret = json_object();
	return 0;
}
