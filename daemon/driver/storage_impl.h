/* SPDX-License-Identifier: ISC */
/* storage_impl.h: what the storage drivers share: the new file on its way to its name, and the
 * call. */
#ifndef BG_DAEMON_DRIVER_STORAGE_IMPL_H
#define BG_DAEMON_DRIVER_STORAGE_IMPL_H

#include "daemon/driver/storage.h"

struct storage_call {
	struct jobs *jobs;
	struct job *job;	      /* copy only */
	struct loop_source *deferred; /* the others: done comes from the loop */
	char *source, *target, *tmp;  /* tmp: target.new, NULL once renamed or removed */
	/* -1 while a worker has them: whoever closes a written file last may wait for its blocks */
	int source_fd, tmp_fd;
	bool made; /* tmp or target is there */
	uint64_t size, source_bytes;
	bool told;	    /* done was called: a committed target is the owner's now */
	struct bg_err *err; /* lent to done */
	storage_progress_fn progress;
	storage_done_fn done;
	void *userdata;
};

/* Opens source, makes target.new (0600, exclusive, an older one removed). What it leaves goes where that of jobs goes. */
int storage_call_new(struct jobs *jobs, const char *source, const char *target, uint64_t size,
	storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err);
/* As struct storage_driver has it: a copy that keeps holes. */
int storage_copy_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err);
/* What a worker does has its own descriptors of both. */
void storage_call_lend(struct storage_call *call);
/* The new file gets its name. A target that exists is an error: it may be a disk with data. */
int storage_call_commit(struct storage_call *call, struct bg_err **err);
/* done(NULL) in the next turn of the loop. */
int storage_call_defer(struct storage_call *call, struct loop *loop, struct bg_err **err);
/* The one completion. The owner may free the call inside. */
void storage_call_finish(struct storage_call *call, struct bg_err *err);
/* An error for errnum in making this clone; BG_ERR_NO_SPACE with the numbers when the disk is full.
 */
int storage_call_fail(const struct storage_call *call, int errnum, struct bg_err **err);

/* Tests: the fake driver fails its nth clone from now (0: none). */
void storage_fake_fail(unsigned nth);

#endif
