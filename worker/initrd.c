/* SPDX-License-Identifier: ISC */
/*
 * The initrd job: the parts of a VM's initramfs behind each other, where that may wait for the
 * disk: a distribution's initrd has 40 to 100 MB, and after a start of the host nothing is in
 * memory.
 */
#include "common/initrd.h"

#include "worker/job.h"

int job_initrd(struct job *job, json_t **ret, struct bg_err **err)
{
	bool modules = false, first = false;
	struct bg_initrd from = {-1, job->fd[2], -1, job->fd[1]};
	const char *part;
	size_t next = 3;
	int r;

	(void)bg_json_get_bool(job->params, "modules", &modules);
	(void)bg_json_get_bool(job->params, "first", &first);
	if (job->n_fds != next + modules + first)
		return bg_err_set(err, BG_ERR_WORKER, EPROTO,
			"an initramfs has %zu descriptors, not %zu", next + modules + first,
			job->n_fds);
	if (modules)
		from.modules = job->fd[next++];
	if (first)
		from.first = job->fd[next++];
	r = bg_initrd_join(job->fd[0], &from, &part);
	if (r < 0)
		return job_write_err(r, err, "initramfs: %s", part);
	*ret = json_object();
	return 0;
}
