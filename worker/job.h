/* SPDX-License-Identifier: ISC */
/*
 * job.h: one job of banger-worker as its handler sees it. main.c owns the job and its
 * descriptors; handlers borrow them. The handlers stand in the order of common/job_table.def.
 */
#ifndef BG_WORKER_JOB_H
#define BG_WORKER_JOB_H

#include "common/err.h"
#include "common/json.h"
#include "common/limits.h"

struct job {
	int sock;
	int fd[BG_JOB_ALL_FDS_MAX];
	size_t n_fds;
	const json_t *params;
	/* progress */
	const char *unit;    /* "bytes" or "entries" */
	uint64_t total;	     /* 0: unknown */
	uint64_t before;     /* done by earlier inputs of the same job */
	int64_t next_report; /* CLOCK_MONOTONIC ms */
};

/*
 * To be called often with what is done so far: reports at most ten times a second, and finds out
 * whether the other side has gone: then BG_ERR_CANCELLED. text may be NULL.
 */
int job_tick(struct job *job, uint64_t done, const char *text, struct bg_err **err);
/* BG_ERR_CANCELLED when the other side has gone. */
int job_alive(struct job *job, struct bg_err **err);
/* Waits until fd can be read, or fails with BG_ERR_CANCELLED. */
int job_wait_readable(struct job *job, int fd, struct bg_err **err);

/* errnum of an output file: ENOSPC is BG_ERR_NO_SPACE, the rest BG_ERR_WORKER. */
int job_write_err(int r, struct bg_err **err, const char *fmt, ...) _printf_(3, 4);

int job_copy(struct job *job, json_t **ret, struct bg_err **err);
int job_mkfs(struct job *job, json_t **ret, struct bg_err **err);
int job_unpack(struct job *job, json_t **ret, struct bg_err **err);
int job_kernel(struct job *job, json_t **ret, struct bg_err **err);
int job_vmlinux(struct job *job, json_t **ret, struct bg_err **err);
int job_fetch(struct job *job, json_t **ret, struct bg_err **err);
int job_flatten(struct job *job, json_t **ret, struct bg_err **err);
int job_layout(struct job *job, json_t **ret, struct bg_err **err);
int job_archive(struct job *job, json_t **ret, struct bg_err **err);
int job_resolve(struct job *job, json_t **ret, struct bg_err **err);
int job_blobs(struct job *job, json_t **ret, struct bg_err **err);
int job_pack_bundle(struct job *job, json_t **ret, struct bg_err **err);
int job_unpack_bundle(struct job *job, json_t **ret, struct bg_err **err);
int job_catalog(struct job *job, json_t **ret, struct bg_err **err);
int job_list(struct job *job, json_t **ret, struct bg_err **err);
int job_inspect(struct job *job, json_t **ret, struct bg_err **err);
int job_digest(struct job *job, json_t **ret, struct bg_err **err);
int job_initrd(struct job *job, json_t **ret, struct bg_err **err);
int job_cut(struct job *job, json_t **ret, struct bg_err **err);
int job_flush(struct job *job, json_t **ret, struct bg_err **err);
int job_empty(struct job *job, json_t **ret, struct bg_err **err);
int job_receive(struct job *job, json_t **ret, struct bg_err **err);
int job_cow_seed(struct job *job, json_t **ret, struct bg_err **err);
int job_cow_merge(struct job *job, json_t **ret, struct bg_err **err);
int job_memory(struct job *job, json_t **ret, struct bg_err **err);

#endif
