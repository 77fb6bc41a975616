/* SPDX-License-Identifier: ISC */
/* copy.h: data from file to file with its holes, in a way that other files' flushes do not wait for. */
#ifndef BG_WORKER_COPY_H
#define BG_WORKER_COPY_H

#include <sys/types.h>

#include "worker/job.h"

/*
 * The data of from in [at, end) goes to the same place of to, shifted; what is a hole in from is not touched in to, and
 * so may zeros be. *done grows by the bytes; progress is told as job->before and what is done here.
 */
int copy_sparse(struct job *job, int from, off_t at, off_t end, int to, off_t shift, uint64_t *done,
	struct bg_err **err);
/* For jobs with a copy of their own: all of p, or -errno. */
bool copy_is_zero(const uint8_t *p, size_t len);
int copy_write(int fd, const uint8_t *p, size_t len, off_t at);

#endif
