/* SPDX-License-Identifier: ISC */
/*
 * The empty job: gives back to the file system what the daemon has put away (daemon/trash.h). The
 * only job that sees folders: those it was handed, and nothing beside or above them. Links are
 * removed, never followed. What cannot be removed is left, and the rest goes all the same.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "worker/job.h"

struct empty {
	struct job *job;
	int64_t removed, left;
	char *error; /* of the first one that was left */
};

static int note_left(struct empty *e, const char *name, int errnum)
{
	e->left++;
	if (!e->error && asprintf(&e->error, "%s: %s", name, strerror(errnum)) < 0)
		e->error = NULL;
	return 0;
}

static int empty_dir(struct empty *e, int fd, struct bg_err **err);

static int remove_dir(struct empty *e, int parent, const char *name, struct bg_err **err)
{
	_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int64_t left = e->left;
	int r;

	if (fd < 0)
		return note_left(e, name, errno);
	r = empty_dir(e, fd, err);
	if (r < 0 || e->left > left)
		return r;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
		return note_left(e, name, errno);
	e->removed++;
	return 0;
}

static int remove_entry(struct empty *e, int parent, const char *name, struct bg_err **err)
{
	if (unlinkat(parent, name, 0) >= 0 || errno == ENOENT) {
		e->removed++;
		return 0;
	}
	/* EPERM: what POSIX says of a folder, and Linux of a file with chattr +i. */
	if (errno != EISDIR && errno != EPERM)
		return note_left(e, name, errno);
	return remove_dir(e, parent, name, err);
}

/* One reading of the folder; entries may come meanwhile. */
static int empty_once(struct empty *e, DIR *dir, struct bg_err **err)
{
	const struct dirent *de;
	int r = 0;

	while (r >= 0 && (errno = 0, de = readdir(dir))) {
		if (bg_streq(de->d_name, ".") || bg_streq(de->d_name, ".."))
			continue;
		r = job_alive(e->job, err);
		if (r >= 0)
			r = remove_entry(e, dirfd(dir), de->d_name, err);
	}
	if (r >= 0 && errno)
		r = note_left(e, "a folder", errno);
	return r;
}

/* Until a reading removes nothing: file systems may pass over entries while others go. */
static int empty_dir(struct empty *e, int fd, struct bg_err **err)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	int64_t removed, left = e->left;
	int r;

	if (!dir) {
		note_left(e, "a folder", errno);
		bg_close(own);
		return 0;
	}
	do {
		removed = e->removed;
		e->left = left;
		rewinddir(dir);
		r = empty_once(e, dir, err);
	} while (r >= 0 && e->removed > removed);
	(void)closedir(dir);
	return r;
}

int job_empty(struct job *job, json_t **ret, struct bg_err **err)
{
	struct empty e = {.job = job};
	struct stat st;
	int r = 0;

	/* The others first: to be the last to hold one is all that is asked. */
	for (size_t i = 0; i < job->n_fds; i++)
		if (fstat(job->fd[i], &st) < 0 || !S_ISDIR(st.st_mode))
			job->fd[i] = bg_close(job->fd[i]);
	for (size_t i = 0; i < job->n_fds && r >= 0; i++)
		if (job->fd[i] >= 0)
			r = empty_dir(&e, job->fd[i], err);
	if (r >= 0)
		*ret = json_pack("{s:I, s:I, s:o}", "removed", (json_int_t)e.removed, "left",
			(json_int_t)e.left, "error", bg_json_str(e.error));
	free(e.error);
	return r;
}
