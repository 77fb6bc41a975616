/* SPDX-License-Identifier: ISC */
/*
 * See trash.h. One job at a time (JOB_EMPTY) empties all folders and closes the descriptors that
 * were handed in; what is thrown meanwhile makes it run once more. What could not be removed is
 * tried again with the next thing thrown, and by a timer that waits longer each time.
 */
#include "daemon/trash.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "daemon/job/job.h"

#define AGAIN_MIN_USEC UINT64_C(1000000)
#define AGAIN_MAX_USEC UINT64_C(600000000)

/* The job's descriptors: the folders, then these. */
enum { HELD_MAX = BG_JOB_ALL_FDS_MAX - TRASH_DIRS_MAX };
/* What is not large is given back in less than a millisecond; a worker's start takes longer. */
#define LARGE ((uint64_t)4 * MIB)

struct trash {
	struct loop *loop;
	struct jobs *jobs; /* its own */
	struct job *job;   /* NULL: none runs */
	char *dirs[TRASH_DIRS_MAX];
	size_t n_dirs;
	int held[HELD_MAX]; /* what the next job is to close */
	unsigned n_held;
	bool more; /* something came since the job began */
	struct loop_source *again;
	uint64_t again_usec; /* how long the last wait was */
	unsigned thrown;
};

static void begin(struct trash *trash);

static void on_again(void *userdata)
{
	struct trash *trash = userdata;

	loop_source_free(TAKE_PTR(trash->again));
	begin(trash);
}

static void try_later(struct trash *trash)
{
	trash->again_usec =
		trash->again_usec ? BG_MIN(trash->again_usec * 8, AGAIN_MAX_USEC) : AGAIN_MIN_USEC;
	if (!trash->again)
		(void)loop_add_timer(
			trash->loop, "trash", trash->again_usec, on_again, trash, &trash->again);
}

/* Told once: it stays true until something changes outside of the daemon. */
static void tell_left(const struct trash *trash, const json_t *result)
{
	const char *what = NULL;

	(void)bg_json_get_str(result, "error", &what);
	if (trash->again_usec == 0)
		log_msg(LOG_WARN, "trash", "something deleted cannot be removed yet", "error",
			what ? what : "unknown", NULL);
}

static void on_emptied(const json_t *result, struct bg_err *err, void *userdata)
{
	struct trash *trash = userdata;
	int64_t left = 0;

	if (err && trash->again_usec == 0)
		log_err(LOG_WARN, "trash", "the trash is not emptied yet", err);
	(void)bg_json_get_int(result, "left", 0, INT64_MAX, &left);
	if (left > 0)
		tell_left(trash, result);
	job_free(TAKE_PTR(trash->job));
	if (err || left > 0)
		try_later(trash);
	else
		trash->again_usec = 0;
	if (trash->more && !err)
		begin(trash);
}

/* Folders that are there; a missing one has nothing to empty. */
static unsigned open_dirs(const struct trash *trash, int *fds)
{
	unsigned n = 0;

	for (size_t i = 0; i < trash->n_dirs; i++) {
		fds[n] = open(trash->dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fds[n] >= 0)
			n++;
	}
	return n;
}

static void begin(struct trash *trash)
{
	_err_ struct bg_err *err = NULL;
	int fds[BG_JOB_ALL_FDS_MAX];
	unsigned n;
	int r = 0;

	trash->more = trash->job != NULL;
	if (trash->job)
		return;
	n = open_dirs(trash, fds);
	memcpy(fds + n, trash->held, trash->n_held * sizeof(*fds));
	n += trash->n_held;
	trash->n_held = 0;
	if (n > 0)
		r = job_start(trash->jobs, JOB_EMPTY, json_object(), fds, n, NULL, on_emptied,
			trash, &trash->job, &err);
	while (n > 0)
		bg_close(fds[--n]);
	if (r < 0)
		try_later(trash);
}

int trash_new(struct loop *loop, const char *worker_path, int worker_log, const char *const *dirs,
	size_t n, struct trash **ret, struct bg_err **err)
{
	_unref_(trash) struct trash *trash = calloc(1, sizeof(*trash));
	int r = trash ? jobs_new(loop, worker_path, worker_log, &trash->jobs, err)
		      : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	trash->loop = loop;
	for (size_t i = 0; i < n; i++) {
		trash->dirs[trash->n_dirs] = strdup(dirs[i]);
		if (!trash->dirs[trash->n_dirs++])
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	begin(trash);
	*ret = TAKE_PTR(trash);
	return 0;
}

void trash_free(struct trash *trash)
{
	if (!trash)
		return;
	loop_source_free(trash->again);
	job_free(trash->job);
	jobs_free(trash->jobs);
	for (unsigned i = 0; i < trash->n_held; i++)
		bg_close(trash->held[i]);
	for (size_t i = 0; i < trash->n_dirs; i++)
		free(trash->dirs[i]);
	free(trash);
}

void trash_kick(struct trash *trash)
{
	loop_source_free(TAKE_PTR(trash->again));
	begin(trash);
}

static bool is_large(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_blocks * 512 >= LARGE;
}

void trash_close(struct trash *trash, int fd)
{
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_nlink > 0 || !is_large(&st) || trash->n_held == HELD_MAX) {
		bg_close(fd);
		return;
	}
	trash->held[trash->n_held++] = fd;
	trash_kick(trash);
}

void trash_unlink(struct trash *trash, const char *path)
{
	struct stat st;

	if (lstat(path, &st) >= 0 && is_large(&st))
		(void)trash_throw(trash, path);
	else
		(void)bg_unlink_small(AT_FDCWD, path);
}

static void throw_waste(const char *path, void *userdata)
{
	trash_unlink(userdata, path);
}

static void close_waste(int fd, void *userdata)
{
	trash_close(userdata, fd);
}

void trash_serve(struct trash *trash, struct jobs *jobs)
{
	jobs_set_waste(jobs, &(struct job_waste){throw_waste, close_waste, trash});
}

/* 0, or why the last folder did not take it. */
static int move_in(struct trash *trash, const char *path)
{
	int r = -EXDEV;

	for (size_t i = 0; i < trash->n_dirs; i++) {
		_free_ char *to = NULL;

		if (mkdir(trash->dirs[i], 0700) < 0 && errno != EEXIST) {
			r = -errno;
			continue;
		}
		if (asprintf(&to, "%s/%lld-%u", trash->dirs[i], (long long)getpid(),
			    trash->thrown++) < 0)
			return -ENOMEM;
		r = rename(path, to) < 0 ? -errno : 0;
		if (r != -EXDEV)
			return r;
	}
	return r;
}

static int drop_here(int dirfd, const char *name, void *userdata);

static int drop_dir(struct trash *trash, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : bg_dir_each(fd, drop_here, trash);

	return r < 0 ? r : bg_rmdir_at(dirfd, name);
}

/* Where it is: the last names go here, the blocks with the descriptors. */
static int drop_here(int dirfd, const char *name, void *userdata)
{
	struct trash *trash = userdata;
	_close_ int fd = openat(dirfd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return drop_dir(trash, dirfd, name);
	r = bg_unlink_small(dirfd, name);
	trash_close(trash, TAKE_FD(fd));
	return r;
}

int trash_throw(struct trash *trash, const char *path)
{
	int r = access(path, F_OK) < 0 && errno == ENOENT ? -ENOENT : move_in(trash, path);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return drop_here(AT_FDCWD, path, trash);
	trash_kick(trash);
	return 0;
}

bool trash_is_empty(const struct trash *trash)
{
	return !trash->job;
}
