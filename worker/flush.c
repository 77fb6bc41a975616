/* SPDX-License-Identifier: ISC */
/*
 * The flush job: what the daemon has written reaches the disk. The cut job: the beginning of a log
 * goes. The daemon's own loop must wait for neither.
 */
#include "common/fd.h"
#include "worker/job.h"

int job_cut(struct job *job, json_t **ret, struct bg_err **err)
{
	int64_t bytes;
	int r = bg_json_need_int(job->params, "bytes", BG_ERR_WORKER, 0, INT64_MAX, &bytes, err);

	if (r < 0)
		return r;
	r = bg_cut_head(job->fd[0], (uint64_t)bytes);
	if (r < 0)
		return job_write_err(r, err, "cut a log");
	*ret = json_object();
	return 0;
}

int job_flush(struct job *job, json_t **ret, struct bg_err **err)
{
	for (size_t i = 0; i < job->n_fds; i++)
		if (fsync(job->fd[i]) < 0)
			return job_write_err(-errno, err, "flush a file");
	*ret = json_object();
	return 0;
}
