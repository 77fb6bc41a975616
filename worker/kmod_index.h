/* SPDX-License-Identifier: ISC */
/*
 * kmod_index.h: writes the binary index files (modules.*.bin) that modprobe and udev look names up
 * in. Format as in kmod's libkmod-index: magic, version, offset of the root, then the nodes of a
 * prefix tree, everything big-endian; a node's offset has flags for its parts in the top bits.
 */
#ifndef BG_WORKER_KMOD_INDEX_H
#define BG_WORKER_KMOD_INDEX_H

#include "worker/buf.h"

struct kmod_index;

int kmod_index_new(struct kmod_index **ret);
void kmod_index_free(struct kmod_index *ix);
BG_DEFINE_UNREF(kmod_index, struct kmod_index *, kmod_index_free)
/* Copies both. Keys that the format cannot hold (8-bit bytes, over 1000 bytes) are left out. */
int kmod_index_add(struct kmod_index *ix, const char *key, const char *value, uint32_t priority);
int kmod_index_write(struct kmod_index *ix, struct buf *out);

#endif
