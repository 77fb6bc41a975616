/* SPDX-License-Identifier: ISC */
/*
 * See trash.h. A file loses its blocks from its beginning, PIECE bytes of data each turn; one that
 * has few left, or that cannot have holes, is unlinked. Each turn takes milliseconds.
 */
#include "daemon/vm/trash.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/loop/loop.h"

enum { TURN_USEC = 20000 };
#define PIECE (256 * MIB)

struct trash {
	struct loop *loop;
	char *dir;
	struct loop_source *ticker; /* NULL: there is nothing to do */
	unsigned thrown;
};

/* The first entry of a folder; false when it is empty or not there. */
static bool first_entry(int dirfd, char out[NAME_MAX + 1])
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool found = false;

	if (!d) {
		bg_close(fd);
		return false;
	}
	while (!found && (e = readdir(d))) {
		found = !bg_streq(e->d_name, ".") && !bg_streq(e->d_name, "..");
		if (found)
			snprintf(out, NAME_MAX + 1, "%s", e->d_name);
	}
	closedir(d);
	return found;
}

/* True when it still has data: then one piece of it is gone. */
static bool lose_piece(int dirfd, const char *name)
{
	_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	off_t data;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1 ||
		(uint64_t)st.st_blocks * 512 <= PIECE)
		return false;
	data = lseek(fd, 0, SEEK_DATA);
	return data >= 0 &&
	       fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, data, (off_t)PIECE) == 0;
}

/* One piece, one file or one empty folder less. False: nothing could be done with it. */
static bool empty_some(int trash, const char *folder)
{
	_close_ int dirfd = openat(trash, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char name[NAME_MAX + 1];

	if (dirfd < 0)
		return unlinkat(trash, folder, 0) == 0;
	if (!first_entry(dirfd, name))
		return unlinkat(trash, folder, AT_REMOVEDIR) == 0;
	if (lose_piece(dirfd, name) || unlinkat(dirfd, name, 0) == 0)
		return true;
	return bg_rm_rf_at(dirfd, name) >= 0; /* a folder in it: small */
}

static void on_turn(void *userdata)
{
	struct trash *trash = userdata;
	_close_ int fd = open(trash->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char folder[NAME_MAX + 1];

	/* What cannot be removed stays for the next daemon, rather than being tried for ever. */
	if (fd >= 0 && first_entry(fd, folder) && empty_some(fd, folder))
		return;
	loop_source_free(TAKE_PTR(trash->ticker));
}

static void begin(struct trash *trash)
{
	if (!trash->ticker)
		(void)loop_add_ticker(
			trash->loop, "trash", TURN_USEC, on_turn, trash, &trash->ticker);
}

int trash_new(struct loop *loop, const char *dir, struct trash **ret)
{
	_unref_(trash) struct trash *trash = calloc(1, sizeof(*trash));

	if (!trash)
		return -ENOMEM;
	trash->loop = loop;
	trash->dir = strdup(dir);
	if (!trash->dir)
		return -ENOMEM;
	if (access(dir, F_OK) == 0)
		begin(trash);
	*ret = TAKE_PTR(trash);
	return 0;
}

void trash_free(struct trash *trash)
{
	if (!trash)
		return;
	loop_source_free(trash->ticker);
	free(trash->dir);
	free(trash);
}

int trash_throw(struct trash *trash, const char *path)
{
	_free_ char *to = NULL;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (mkdir(trash->dir, 0700) < 0 && errno != EEXIST)
		return bg_rm_rf_at(AT_FDCWD, path);
	if (asprintf(&to, "%s/%lld-%u", trash->dir, (long long)getpid(), trash->thrown++) < 0)
		return -ENOMEM;
	if (rename(path, to) < 0)
		return bg_rm_rf_at(AT_FDCWD, path);
	begin(trash);
	return 0;
}

bool trash_is_empty(const struct trash *trash)
{
	return !trash->ticker;
}
