/* SPDX-License-Identifier: ISC */
/* trusted.c: openat one part of a path after another, each checked by fstat before the next. */
#include "privhelper/trusted.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct {
	int flags;
	mode_t type, others; /* who else than root may not do what */
	bool group;	     /* it is this process's effective one */
} kinds[] = {
	[TRUSTED_FILE_READ] = {O_RDONLY, S_IFREG, S_IWGRP | S_IWOTH},
	[TRUSTED_FILE_UPDATE] = {O_RDWR, S_IFREG, S_IWOTH | S_IROTH},
	[TRUSTED_FILE_SHARED] = {O_RDONLY, S_IFREG, S_IWOTH | S_IROTH},
	[TRUSTED_DIR] = {O_PATH | O_DIRECTORY, S_IFDIR, S_IWGRP | S_IWOTH},
	[TRUSTED_DIR_GROUP] = {O_PATH | O_DIRECTORY, S_IFDIR, S_IWOTH, true},
};

static int open_part(int dirfd, const char *name, enum trusted_kind kind)
{
	const int quick = kinds[kind].type == S_IFREG ? O_NOCTTY | O_NONBLOCK : 0;
	const struct open_how how = {
		.flags = (uint64_t)(unsigned)(kinds[kind].flags | quick | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH};
	_close_ int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != kinds[kind].type || st.st_uid != 0 ||
		(st.st_mode & kinds[kind].others) || (S_ISREG(st.st_mode) && st.st_nlink != 1) ||
		(kinds[kind].group && st.st_gid != getegid()))
		return -EPERM;
	return TAKE_FD(fd);
}

int trusted_open(const char *path, enum trusted_kind kind)
{
	_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		    dir = open_part(root, ".", TRUSTED_DIR);
	const char *slash;

	assert(path[0] == '/');
	while (dir >= 0 && (slash = strchr(++path, '/'))) {
		char name[NAME_MAX + 1] = "";
		int next;

		assert((size_t)(slash - path) < sizeof(name));
		memcpy(name, path, (size_t)(slash - path));
		next = open_part(dir, name, TRUSTED_DIR);
		bg_close(dir);
		dir = next;
		path = slash;
	}
	return dir < 0 ? dir : open_part(dir, path, kind);
}
