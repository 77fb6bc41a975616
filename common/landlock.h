/* SPDX-License-Identifier: ISC */
/*
 * landlock.h: a Landlock domain that handles every right this kernel knows and grants only what is
 * named. Used by banger-worker on itself and by banger-launch for a VMM. libc only, never logs;
 * returns -errno. The numbers are the kernel's (linux/landlock.h), here because a host's headers
 * are often older than its kernel.
 */
#ifndef BG_COMMON_LANDLOCK_H
#define BG_COMMON_LANDLOCK_H

#include "common/base.h"

enum {
	BG_LL_EXECUTE = 1 << 0,
	BG_LL_WRITE_FILE = 1 << 1,
	BG_LL_READ_FILE = 1 << 2,
	BG_LL_READ_DIR = 1 << 3,
	BG_LL_REMOVE_DIR = 1 << 4,
	BG_LL_REMOVE_FILE = 1 << 5,
	BG_LL_MAKE_DIR = 1 << 7,
	BG_LL_MAKE_REG = 1 << 8,
	BG_LL_MAKE_SOCK = 1 << 9,
	BG_LL_MAKE_SYM = 1 << 12,
	BG_LL_REFER = 1 << 13,	   /* ABI 2: links and renames between folders, refused before */
	BG_LL_TRUNCATE = 1 << 14,  /* ABI 3; granted by WRITE_FILE before */
	BG_LL_IOCTL_DEV = 1 << 15, /* ABI 5; free before */
};

enum {
	BG_LL_ABI_NET = 4,   /* TCP */
	BG_LL_ABI_SCOPE = 6, /* signals and abstract sockets */
};

struct bg_landlock {
	int abi; /* 0: this kernel has none, and everything below does nothing */
	int fd;
	uint64_t handled;
};

/* What the kernel has; 0 for none. */
int bg_landlock_abi(void);
/*
 * abi_max: 0, or an older kernel to play. connects: TCP connections stay allowed. Signals and
 * abstract sockets reach only processes of the domain. *ret is undone by bg_landlock_done.
 */
int bg_landlock_new(int abi_max, bool connects, struct bg_landlock *ret);
/*
 * Rights for a file, or for all below a folder; those that only make sense for the other kind are
 * left out. A path that does not exist is granted nothing, which is success. flags: O_NOFOLLOW or
 * 0.
 */
int bg_landlock_allow(struct bg_landlock *ll, const char *path, uint64_t rights, int flags);
/* The same for an open file or folder. */
int bg_landlock_allow_fd(struct bg_landlock *ll, int fd, uint64_t rights);
/* For this thread and what it starts, for good; needs no_new_privs. */
int bg_landlock_enter(struct bg_landlock *ll);
void bg_landlock_done(struct bg_landlock *ll);

#endif
