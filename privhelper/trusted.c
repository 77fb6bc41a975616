/* SPDX-License-Identifier: ISC */
/* trusted.c: openat one part of a path after another, each checked by fstat before the next. */
#include "privhelper/trusted.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_part(int dirfd, const char *name, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW |
							     O_NOCTTY | O_NONBLOCK),
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH};
	long fd;

	if (flags & O_PATH)
		how.flags &= ~(uint64_t)(O_NONBLOCK | O_NOCTTY);
	fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

static bool is_roots(const struct stat *st, mode_t others)
{
	return st->st_uid == 0 && (st->st_mode & others) == 0;
}

static int check_dir(int fd, struct stat *ret)
{
	if (fstat(fd, ret) < 0)
		return -errno;
	return S_ISDIR(ret->st_mode) && is_roots(ret, S_IWGRP | S_IWOTH) ? 0 : -EPERM;
}

static int check_dir_group(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && is_roots(&st, S_IWOTH) && st.st_gid == getegid() ? 0 : -EPERM;
}

static int check_file(int fd, enum trusted_kind kind)
{
	mode_t others = kind == TRUSTED_FILE_READ ? S_IWGRP | S_IWOTH : S_IWOTH | S_IROTH;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_nlink == 1 && is_roots(&st, others) ? 0 : -EPERM;
}

static int open_last(int dirfd, const char *name, enum trusted_kind kind)
{
	struct stat st;
	_close_ int fd = open_part(dirfd, name,
		kind == TRUSTED_DIR || kind == TRUSTED_DIR_GROUP ? O_PATH | O_DIRECTORY
		: kind == TRUSTED_FILE_UPDATE			 ? O_RDWR
								 : O_RDONLY);
	int r;

	if (fd < 0)
		return fd;
	r = kind == TRUSTED_DIR		? check_dir(fd, &st)
	    : kind == TRUSTED_DIR_GROUP ? check_dir_group(fd)
					: check_file(fd, kind);
	return r < 0 ? r : TAKE_FD(fd);
}

int trusted_open(const char *path, enum trusted_kind kind)
{
	_close_ int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	assert(path[0] == '/');
	for (const char *p = path + 1;;) {
		const char *slash = strchr(p, '/');
		char name[NAME_MAX + 1];
		int next;

		if (dir < 0)
			return -errno;
		r = check_dir(dir, &st);
		if (r < 0)
			return r;
		if (!slash)
			break;
		assert((size_t)(slash - p) < sizeof(name));
		memcpy(name, p, (size_t)(slash - p));
		name[slash - p] = '\0';
		next = open_part(dir, name, O_PATH | O_DIRECTORY);
		if (next < 0)
			return next;
		bg_close(dir);
		dir = next;
		p = slash + 1;
	}
	return open_last(dir, strrchr(path, '/') + 1, kind);
}
