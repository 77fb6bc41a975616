/* SPDX-License-Identifier: ISC */
/*
 * rootfs.h: the two ext4 images of a guest's root file system: the root, and the seed of the work
 * disk, which gets what lies below /root. Filled entry by entry from archives; looks at what is
 * needed to run it: os-release, init, sshd. Shared by the unpack and flatten jobs; touches nothing
 * but the two descriptors.
 */
#ifndef BG_WORKER_ROOTFS_H
#define BG_WORKER_ROOTFS_H

#include "worker/entry.h"

struct rootfs;

/*
 * Starts both images with the job's parameters "size", "free" and "seed_size" (job_table.def). The
 * descriptors are emptied, and borrowed until rootfs_free. layered: applied in layers, as flatten
 * says it; otherwise what would lose files is an error.
 */
int rootfs_new(struct job *job, int root_fd, int seed_fd, bool layered, struct rootfs **ret,
	struct bg_err **err);
void rootfs_free(struct rootfs *u);
BG_DEFINE_UNREF(rootfs, struct rootfs *, rootfs_free)

/* What follows belongs to layer n, 1 to BG_LAYERS_MAX, counted upwards. */
void rootfs_layer(struct rootfs *u, unsigned n);
/* The entry that src stands at. */
int rootfs_take(
	struct rootfs *u, struct source *src, struct archive_entry *entry, struct bg_err **err);
/* Removes what lower layers have at path, or, with self false, only what is below it. */
int rootfs_whiteout(struct rootfs *u, const char *path, bool self, struct bg_err **err);
uint64_t rootfs_entries(const struct rootfs *u); /* taken so far */
/* Bytes of files copied so far because a hard link joined /root and the rest. */
uint64_t rootfs_copied(const struct rootfs *u);
/* Completes both images. *ret: the result of the unpack job. */
int rootfs_finish(struct rootfs *u, json_t **ret, struct bg_err **err);

#endif
