/* SPDX-License-Identifier: ISC */
/*
 * The flush job: what the daemon has written reaches the disk. Its own loop must not wait for that.
 */
#include "worker/job.h"

int job_flush(struct job *job, json_t **ret, struct bg_err **err)
{
	for (size_t i = 0; i < job->n_fds; i++)
		if (fsync(job->fd[i]) < 0)
			return job_write_err(-errno, err, "flush a file");
	*ret = json_object();
	return 0;
}
