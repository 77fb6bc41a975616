/* SPDX-License-Identifier: ISC */
/* common/fd: what a program finds at descriptors 0 to 2 when its caller closed them. */
#include "common/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "tests/lib/test.h"

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The descriptors whose bits are set are closed; 0 when the others stayed and these are /dev/null.
 */
static int child(unsigned closed)
{
	struct stat before[3], after;

	for (int i = 0; i < 3; i++)
		if (fstat(i, &before[i]) < 0)
			return 1;
	for (int i = 0; i < 3; i++)
		if (closed & (1u << i))
			close(i);
	if (bg_std_fds() < 0)
		return 2;
	for (int i = 0; i < 3; i++)
		if ((closed & (1u << i)) ? !is_null(i)
					 : fstat(i, &after) < 0 || after.st_ino != before[i].st_ino)
			return 3;
	return 0;
}

TEST(what_was_closed_is_null)
{
	for (unsigned closed = 0; closed < 8; closed++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			_exit(child(closed));
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(status, 0);
	}
}

TEST(nothing_is_left_open)
{
	int before = dup(0), after;

	close(before);
	CHECK_INT(bg_std_fds(), 0);
	after = dup(0);
	close(after);
	CHECK_INT(after, before);
}
