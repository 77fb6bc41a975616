/* SPDX-License-Identifier: ISC */
/*
 * trusted.h: opens what only root can have put there. Called at start only,
 * before rights are dropped. Each part of the path is opened by descriptor,
 * without symbolic links, and must belong to root and be writable by no one
 * else; so nobody can swap a part between check and use.
 */
#ifndef BG_PRIVHELPER_TRUSTED_H
#define BG_PRIVHELPER_TRUSTED_H

#include "common/base.h"

enum trusted_kind {
	TRUSTED_FILE_READ,   /* regular file, one link, opened O_RDONLY */
	TRUSTED_FILE_UPDATE, /* regular file, one link, opened O_RDWR; its group may write */
	TRUSTED_FILE_SHARED, /* the same, opened O_RDONLY */
	TRUSTED_DIR,	     /* directory, O_PATH */
	TRUSTED_DIR_GROUP,   /* the same, which this process's effective group may write */
};

/*
 * Opens an absolute path. Returns the descriptor or -errno; -EPERM when a part
 * is not root's alone.
 */
int trusted_open(const char *path, enum trusted_kind kind);

#endif
