/* SPDX-License-Identifier: ISC */
/* See logfile.h. No call here waits for a disk that is not asked for more than a block. */
#include "daemon/logfile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base.h"
#include "common/fd.h"
#include "common/limits.h"

enum { LINE_LOOK = 4096 }; /* a line is looked for in so many bytes */

int logfile_bound(const char *path, uint64_t max, uint64_t keep)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	struct stat st;
	off_t end;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_blocks * 512 <= max ||
		(uint64_t)st.st_size <= keep)
		return 0;
	end = (off_t)(((uint64_t)st.st_size - keep) / BG_PAGE_SIZE * BG_PAGE_SIZE);
	if (end > 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) == 0)
		return 1;
	/* Its writer appends, so that it goes on at the new end. */
	return ftruncate(fd, 0) < 0 ? -errno : 1;
}

void logfile_skip_hole(int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR), data;
	char text[LINE_LOOK];
	const char *line;
	ssize_t n;

	if (at < 0)
		return;
	data = lseek(fd, at, SEEK_DATA);
	if (data <= at) { /* in data already; or at the end, or no answer from this file system */
		(void)lseek(fd, at, SEEK_SET);
		return;
	}
	n = pread(fd, text, sizeof(text), data);
	line = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	(void)lseek(fd, line ? data + (line - text) + 1 : data, SEEK_SET);
}
