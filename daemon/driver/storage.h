/* SPDX-License-Identifier: ISC */
/*
 * storage.h: how a VM's disks come from an image's. Drivers: reflink (FICLONE: shares blocks, no time),
 * guest-cow (the root disk alone: a file of what differs from the image, which the guest joins with the image),
 * dm-snapshot (the same, joined by the disk helper: a device only while the VM runs), copy (sparse, hole-preserving, in a worker), fake (tests). A clone is made under its final name's
 * ".new", and renamed when complete.
 */
#ifndef BG_DAEMON_DRIVER_STORAGE_H
#define BG_DAEMON_DRIVER_STORAGE_H

#include "common/base.h"
#include "common/err.h"
#include "daemon/job/job.h"
#include "daemon/loop/loop.h"
#include "host/config.h"

struct storage_call;
typedef void (*storage_done_fn)(struct bg_err *err /* borrowed */, void *userdata);
typedef void (*storage_progress_fn)(uint64_t done, uint64_t total, void *userdata);

struct storage_driver {
	const char *name;
	/*
	 * Clones source (of guest-cow: the image's seed, see asset/seed.h) to target, then makes it size bytes long (sparse). Exactly one done unless the
	 * call is freed first, which cancels and leaves nothing behind.
	 */
	int (*clone)(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
		uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
		struct storage_call **ret, struct bg_err **err);
};

extern const struct storage_driver storage_reflink;
extern const struct storage_driver storage_copy;
extern const struct storage_driver storage_cow;
extern const struct storage_driver storage_dm;
extern const struct storage_driver storage_fake;

/* As job_on_wait, of a clone that a worker makes; the others do not wait. */
void storage_call_on_wait(struct storage_call *call, job_wait_fn fn, void *userdata);
void storage_call_free(struct storage_call *call);
BG_DEFINE_UNREF(storage_call, struct storage_call *, storage_call_free)

/*
 * Tries FICLONE in dir (one block) where that matters. reason: a static sentence. NULL without an error: config says
 * dm-snapshot, which depends on the disk helper, and is storage_choose_dm's once that has answered.
 */
const struct storage_driver *storage_choose(
	enum config_storage wanted, const char *dir, const char **ret_reason, struct bg_err **err);
/* helper: why it cannot work, NULL when it can. NULL: config asked for what is not there. */
const struct storage_driver *storage_choose_dm(
	const char *dir, const struct bg_err *helper, const char **ret_reason, struct bg_err **err);
/* Whether a disk can lie over this file with guest-cow; else such a VM gets a copy. */
bool storage_cow_fits(const char *source);
/* Whether the disk helper makes overlays over this file; else such a VM gets a copy. */
bool storage_dm_fits(const char *source);
/* Whether it takes files of the file system that path is on. */
bool storage_dm_fs_ok(const char *path);
/* NULL when there is none of that name. */
const struct storage_driver *storage_driver_by_name(const char *name);

#endif
