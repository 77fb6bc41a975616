/* SPDX-License-Identifier: ISC */
/*
 * tar.h: trees to tar streams and back, for vm cp: the guest's agent has one end, the CLI the
 * other. POSIX tar with pax headers; reads what GNU tar writes as well. The unpacker follows no
 * link and leaves no directory that it was given, whatever the stream says: a hostile guest can
 * spoil the destination and nothing else. Both block; neither holds more than a piece in memory.
 */
#ifndef BG_COMMON_TAR_H
#define BG_COMMON_TAR_H

#include <sys/types.h>

#include "common/err.h"

struct bg_tar_packing {
	int out_fd;
	bool map_owner; /* what belongs to uid becomes root's, and its group too */
	uid_t uid;
};

/*
 * The tree at path (a link there is followed, those below are kept), named by its last component. A pipe or a
 * device at path gives what is read from it. What tells no size, or a wrong one (/proc, /sys), is read first.
 */
int bg_tar_pack(const struct bg_tar_packing *p, const char *path, struct bg_err **err);

struct bg_tar_unpacking {
	int in_fd;
	bool as_root;	/* owners, special files and all mode bits; else those are left out */
	bool arrival;	/* times are those of the unpacking, not the stream's */
	unsigned umask; /* without as_root: permission bits that nothing gets */
	/*
	 * Not NULL: one tree was asked for. All names must lie in one folder, or be one file, which gets this name
	 * whatever the stream calls it; "": what is in the folder comes into the destination itself.
	 */
	const char *top;
	unsigned left_out; /* result: special files that were not made */
};

/*
 * Into an open folder (O_PATH will do). Each file appears under its name when it is whole, in place of a file or link
 * of that name. Reads the stream to its end.
 */
int bg_tar_unpack_at(struct bg_tar_unpacking *u, int folder, struct bg_err **err);

/*
 * To path: into it when it is a folder, else as the last component of path (whose folder must be there).
 * folder_only: path must be one. u->top holds for a folder that is there. Reads the stream to its end.
 */
int bg_tar_unpack(
	struct bg_tar_unpacking *u, const char *path, bool folder_only, struct bg_err **err);

#endif
