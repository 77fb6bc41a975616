/* SPDX-License-Identifier: ISC */
/*
 * disk_file.h: whether two descriptors that a user sent make a disk. Called by verb_disk.c for
 * every attach; needs no rights, so tests call it as it stands. Owns nothing.
 * Must never read more of a file than the overlay's first bytes.
 */
#ifndef BG_PRIVHELPER_DISK_FILE_H
#define BG_PRIVHELPER_DISK_FILE_H

#include <sys/types.h>

#include "common/priv_proto.h"

struct disk_files {
	int base, overlay;
	uint64_t base_size, store_size, tail_size; /* bytes */
};

/* A file system by its statfs type: one that the kernel trusts to hold a loop device. */
bool disk_fs_ok(long type);
/* An image to be mounted, opened for reading: PRIV_CODE_OK and its size, PRIV_CODE_FILE or SIZE. */
enum priv_code disk_image_check(int file, uid_t uid, uint64_t *ret_size);
/* PRIV_CODE_OK and the sizes, or PRIV_CODE_FILE, SIZE or OVERLAY. base and overlay stay the caller's. */
enum priv_code disk_files_check(int base, int overlay, uid_t uid, struct disk_files *ret);

#endif
