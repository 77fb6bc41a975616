/* SPDX-License-Identifier: ISC */
/*
 * job.h: runs banger-worker jobs (common/job_proto.h): one process each; the
 * others queue; a deadline each; killed when freed. What fetches or unpacks (long) has a queue and slots of its own, so that
 * what is over in seconds (short: copies, empty file systems, digests, catalogs) never waits for a pull; and so have the trash and looks into folders,
 * which may be of a file system that does not answer.
 */
#ifndef BG_DAEMON_JOB_JOB_H
#define BG_DAEMON_JOB_JOB_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/job_proto.h"
#include "daemon/loop/loop.h"

enum { JOBS_SHORT_MAX = 3, JOBS_LONG_MAX = 4, JOBS_TRASH_MAX = 1, JOBS_LOOK_MAX = 2 };

enum job_kind {
#define X(sym, name, n_fds, more_fds, deadline) JOB_##sym,
#include "common/job_table.def"
#undef X
	JOB_MAX_
};

struct jobs;
struct job;

typedef void (*job_progress_fn)(const json_t *progress, void *userdata);
/* Exactly one of result and err is set, both borrowed. Comes once, never from inside job_start. */
typedef void (*job_done_fn)(const json_t *result, struct bg_err *err, void *userdata);

/* worker_path: absolute; worker_log: fd that gets stdout and stderr of every worker, borrowed. */
int jobs_new(struct loop *loop, const char *worker_path, int worker_log, struct jobs **ret,
	struct bg_err **err);
/* What errors call that log, borrowed: the descriptor may be a pipe. Without it, the descriptor's own path. */
void jobs_name_log(struct jobs *jobs, const char *path);
void jobs_free(struct jobs *jobs);
BG_DEFINE_UNREF(jobs, struct jobs *, jobs_free)
/*
 * Where large files go that nobody needs any more: what they had on the disk is given back outside of the loop. The trash,
 * which is made of jobs itself (daemon/trash.h). Until it is said, and in tests without one, they go on the spot.
 */
struct job_waste {
	void (*throw)(const char *path, void *userdata);
	void (*close)(int fd, void *userdata); /* fd is taken */
	void *userdata;
};
void jobs_set_waste(struct jobs *jobs, const struct job_waste *waste);
/* For who has jobs and no trash: a storage driver's clone that is not to be. */
void jobs_throw(struct jobs *jobs, const char *path);
void jobs_close(struct jobs *jobs, int fd); /* below 0: none */
/* Tests: every deadline of jobs started from now, instead of the table's. */
void jobs_set_deadline(struct jobs *jobs, uint64_t usec);

/* params is taken; fds are duplicated. progress may be NULL. */
int job_start(struct jobs *jobs, enum job_kind kind, json_t *params, const int *fds, unsigned n_fds,
	job_progress_fn progress, job_done_fn done, void *userdata, struct job **ret,
	struct bg_err **err);
/*
 * fn is called when the job is still in its queue, at once, with what it waits for ("a worker (4 of 4 busy)", borrowed); and with
 * NULL when its worker has started. It frees nothing.
 */
typedef void (*job_wait_fn)(const char *what, void *userdata);
void job_on_wait(struct job *job, job_wait_fn fn, void *userdata);
void job_free(struct job *job);
/*
 * Frees a job that writes to the file at path, which is to go: jobs_throw when its worker has ended. Until then a rename would wait
 * for what that writes. Another file that has the name by then stays. job may be NULL.
 */
void job_free_and_throw(struct job *job, struct jobs *jobs, const char *path);
BG_DEFINE_UNREF(job, struct job *, job_free)

#endif
