/* SPDX-License-Identifier: ISC */
/*
 * seed.h: what the own file of a disk over an image begins with (worker/cow_seed.c), once for each root file system:
 * <cache>/seeds/HEX, HEX being that of its path, size and times, so that one that was written to has another. Made by a
 * worker when the first disk is, and never needed after that: whoever removes it makes the next disk wait a moment.
 */
#ifndef BG_DAEMON_ASSET_SEED_H
#define BG_DAEMON_ASSET_SEED_H

#include "common/err.h"
#include "common/sha256.h"

struct engine;
struct seed_call;

/* err is borrowed, NULL on success. Comes once unless the call is freed first. */
typedef void (*seed_done_fn)(struct bg_err *err, void *userdata);

/* The seed's path, there or not; the caller's. */
int seed_path(const struct engine *engine, const char *rootfs, char **ret, struct bg_err **err);
/* 1: it is there. 0: it is being made, and done will be called. */
int seed_make(struct engine *engine, const char *rootfs, seed_done_fn done, void *userdata,
	struct seed_call **ret, struct bg_err **err);
void seed_call_free(struct seed_call *call);
BG_DEFINE_UNREF(seed_call, struct seed_call *, seed_call_free)

/* The name of the seed of a root file system; -errno. */
int seed_name(const char *rootfs, char ret[BG_SHA256_HEX]);

/* Removes those of root file systems that no image has. */
void seeds_prune(const struct engine *engine,
	bool (*is_used)(const void *userdata, const char *name), const void *userdata);

#endif
