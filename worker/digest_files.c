/* SPDX-License-Identifier: ISC */
/*
 * The digest job: what finished files hold, so that equal ones can be kept once
 * (daemon/asset/content_store.h). A job of its own, though some of those that write know it: they read
 * foreign bytes, and one that was taken over could claim another file's digest.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "worker/blob.h"

/* Data on disk: holes cost nothing. */
static uint64_t bytes_in(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : BG_MIN((uint64_t)st.st_blocks * 512, (uint64_t)st.st_size);
}

/* Behind its name a file counts as whole, also after a power cut. */
static int digest_one(struct job *job, size_t i, uint64_t *done, json_t *out, struct bg_err **err)
{
	char hex[DIGEST_HEX + 1], name[32];
	int r;

	snprintf(name, sizeof(name), "file %zu", i + 1);
	r = blob_read(job, job->fd[i], name, hex, NULL, done, err);
	if (r >= 0 && fsync(job->fd[i]) < 0)
		r = job_write_err(-errno, err, "flush %s", name);
	return r < 0 ? r : json_array_append_new(out, json_string(hex));
}

int job_digest(struct job *job, json_t **ret, struct bg_err **err)
{
	_json_ json_t *digests = json_array();
	uint64_t done = 0;
	int r = 0;

	job->unit = "bytes";
	for (size_t i = 0; i < job->n_fds; i++)
		job->total += bytes_in(job->fd[i]);
	for (size_t i = 0; i < job->n_fds && r >= 0; i++)
		r = digest_one(job, i, &done, digests, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:O}", "digests", digests);
	return 0;
}
