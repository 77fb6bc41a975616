/* SPDX-License-Identifier: ISC */
/* See reserve.h. */
#include "daemon/store/reserve.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include "common/fd.h"

#define RESERVE_BYTES (4 * MIB)
#define ROOM_BYTES    (64 * MIB)

bool reserve_give_up(int state_dirfd)
{
	if (unlinkat(state_dirfd, RESERVE_FILE, 0) < 0)
		return false;
	(void)fsync(state_dirfd);
	(void)syncfs(state_dirfd); /* btrfs has its room back with the transaction */
	return true;
}

static int fill(int fd)
{
	static const char piece[64 * 1024];
	int r = posix_fallocate(fd, 0, (off_t)RESERVE_BYTES);

	if (r != EOPNOTSUPP && r != EINVAL)
		return -r;
	r = 0;
	for (uint64_t at = 0; at < RESERVE_BYTES && r >= 0; at += sizeof(piece))
		r = bg_write_all(fd, piece, sizeof(piece));
	return r;
}

void reserve_make(int state_dirfd)
{
	_close_ int fd = -1;
	struct statvfs v;

	if (faccessat(state_dirfd, RESERVE_FILE, F_OK, 0) == 0 || fstatvfs(state_dirfd, &v) < 0 ||
		(uint64_t)v.f_bavail * v.f_frsize < ROOM_BYTES)
		return;
	fd = openat(state_dirfd, RESERVE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && (fill(fd) < 0 || fsync(fd) < 0))
		(void)unlinkat(state_dirfd, RESERVE_FILE, 0);
}
