/* SPDX-License-Identifier: ISC */
/*
 * workspace_stamp.c: tells without git whether git's state in a copy is as it was brought. Git
 * writes HEAD, branches and the index by renaming a new file over the old one, so each change is
 * another inode. A stamp that does not fit says nothing: `git status` writes a new index too. Then
 * git itself is asked.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "guest/workspace.h"

#define STAMP "git"

enum { HEAD_MAX = 4096, STAMP_MAX = 4096 };

static void print_file(FILE *out, int git, const char *name)
{
	struct stat st;

	if (fstatat(git, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		fprintf(out, "-\n");
		return;
	}
	fprintf(out, "%" PRIu64 " %" PRId64 " %" PRId64 ".%09ld %" PRId64 ".%09ld\n",
		(uint64_t)st.st_ino, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, (int64_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

/* The branch that HEAD names, or HEAD again. */
static void print_branch(FILE *out, int git)
{
	_free_ char *head = NULL;
	const char *name = "HEAD";

	if (bg_read_file_at(git, "HEAD", HEAD_MAX, &head, NULL) >= 0 &&
		strncmp(head, "ref: ", 5) == 0) {
		head[strcspn(head, "\n")] = '\0';
		name = head + 5;
	}
	print_file(out, git, name);
}

/* The caller's; NULL: there is none. */
static char *make_stamp(const char *path)
{
	_free_ char *folder = NULL;
	_close_ int git = -1;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (asprintf(&folder, "%s/.git", path) < 0)
		return NULL;
	git = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	out = git < 0 ? NULL : open_memstream(&text, &len);
	if (!out)
		return NULL;
	print_file(out, git, "HEAD");
	print_file(out, git, "index");
	print_branch(out, git);
	return fclose(out) == 0 ? text : NULL;
}

bool workspace_stamp_fits(int side, const char *path)
{
	_free_ char *was = NULL, *is = make_stamp(path);

	return is && bg_read_file_at(side, STAMP, STAMP_MAX, &was, NULL) >= 0 && bg_streq(was, is);
}

int workspace_stamp_keep(int side, const char *path)
{
	_close_ int fd = -1;
	_free_ char *text = make_stamp(path);

	if (!text)
		return -ENOENT;
	fd = openat(side, STAMP, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : bg_write_all(fd, text, strlen(text));
}
