/* SPDX-License-Identifier: ISC */
/*
 * storage.h: how a VM's disks come from an image's. Drivers: reflink (FICLONE: shares blocks, no time),
 * copy (sparse, hole-preserving, in a worker), fake (tests). A clone is made under its final name's
 * ".new", and renamed when complete.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include "common/base.h"
#include "common/err.h"
#include "daemon/config.h"
#include "daemon/job/job.h"
#include "daemon/loop/loop.h"

struct storage_call;
typedef void (*storage_done_fn)(struct bg_err *err /* borrowed */, void *userdata);
typedef void (*storage_progress_fn)(uint64_t done, uint64_t total, void *userdata);

struct storage_driver {
	const char *name;
	/*
	 * Clones source to target, then makes it size bytes long (sparse). Exactly one done unless the
	 * call is freed first, which cancels and leaves nothing behind.
	 */
	int (*clone)(struct loop *loop, struct jobs *jobs, const char *source, const char *target, uint64_t size,
		storage_progress_fn progress, storage_done_fn done, void *userdata, struct storage_call **ret,
		struct bg_err **err);
};

extern const struct storage_driver storage_reflink;
extern const struct storage_driver storage_copy;
extern const struct storage_driver storage_fake;

void storage_call_free(struct storage_call *call);
BG_DEFINE_UNREF(storage_call, struct storage_call *, storage_call_free)

/* Tries FICLONE in dir (one block). reason: a static sentence. */
const struct storage_driver *storage_choose(enum config_storage wanted, const char *dir, const char **ret_reason,
	struct bg_err **err);
/* NULL when there is none of that name. */
const struct storage_driver *storage_driver_by_name(const char *name);

#endif
