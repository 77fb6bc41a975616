/* SPDX-License-Identifier: ISC */
/*
 * blobs.h: the layers that pulls have fetched, each once, by digest: <cache>/blobs/sha256/HEX when whole
 * and checked, <cache>/blobs/partial/HEX before. The directory is the truth, nothing of it is in
 * the store. Whoever needs a blob holds a descriptor: then it may be removed at any time.
 */
#ifndef BG_DAEMON_ASSET_BLOBS_H
#define BG_DAEMON_ASSET_BLOBS_H

#include "common/err.h"

struct engine;
struct blobs;
struct blobs_turn;

int blobs_new(struct engine *engine, struct blobs **ret, struct bg_err **err);
void blobs_free(struct blobs *blobs);
BG_DEFINE_UNREF(blobs, struct blobs *, blobs_free)

/*
 * One pull at a time opens and fills blobs, so that no two work on one file: ready comes from the
 * loop when it is this one's turn, which lasts until blobs_turn_free.
 */
int blobs_wait_turn(struct blobs *blobs, void (*ready)(void *userdata), void *userdata,
	struct blobs_turn **ret, struct bg_err **err);
void blobs_turn_free(struct blobs_turn *turn);

/* In its turn: the blob, read-write when it has to be filled (*whole is false). The fd is the caller's. */
int blobs_open(struct blobs *blobs, const char *digest, uint64_t size, int *ret_fd, bool *whole,
	struct bg_err **err);
/* In its turn: a filled and checked one joins the whole ones. Twice the same is fine. */
int blobs_commit(struct blobs *blobs, const char *digest, struct bg_err **err);

/* Removes whole ones, those that were used longest ago first, until at most max bytes are kept. */
void blobs_trim(struct blobs *blobs, uint64_t max);
/* Removes everything but what a pull is filling now; how many files and bytes on disk that were. */
int blobs_prune(struct blobs *blobs, unsigned *ret_files, uint64_t *ret_bytes, struct bg_err **err);

#endif
