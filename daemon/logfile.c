/* SPDX-License-Identifier: ISC */
/* See logfile.h. No call here waits for a disk that is not asked for more than a block. */
#include "daemon/logfile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base.h"
#include "common/fd.h"
#include "common/limits.h"

enum { LINE_LOOK = 4096 }; /* a line is looked for in so many bytes */

int logfile_too_long(const char *path, uint64_t max, uint64_t keep, int *ret_fd, uint64_t *ret_cut)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_blocks * 512 <= max ||
		(uint64_t)st.st_size <= keep)
		return 0;
	*ret_cut = ((uint64_t)st.st_size - keep) / BG_PAGE_SIZE * BG_PAGE_SIZE;
	*ret_fd = TAKE_FD(fd);
	return 1;
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
