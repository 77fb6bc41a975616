/* SPDX-License-Identifier: ISC */
/*
 * See content_store.h. Moves are renames, made by the engine alone and one at a time: of two imports of the
 * same bytes the second one finds the first one's file.
 */
#include "daemon/asset/content_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "common/sha256.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

#define FOLDER "blobs"

enum { KEPT_MODE = 0400 };

/* <state>/blobs/HEX, or the folder itself for NULL; the caller's. */
static char *place_of(const struct engine *engine, const char *hex)
{
	char *path = NULL;

	return asprintf(&path, "%s/" FOLDER "%s%s", engine->paths->state_dir, hex ? "/" : "",
		       hex ? hex : "") < 0
		       ? NULL
		       : path;
}

static bool is_kept(const struct engine *engine, const char *path)
{
	_free_ char *folder = place_of(engine, NULL);
	size_t len = folder ? strlen(folder) : 0;

	return folder && strncmp(path, folder, len) == 0 && path[len] == '/' &&
	       bg_sha256_valid(path + len + 1);
}

static bool is_new(const struct engine *engine, const char *path)
{
	return path && !is_kept(engine, path);
}

int content_store_look(struct engine *engine, char **const *paths, size_t n,
	job_progress_fn progress, job_done_fn done, void *userdata, struct job **ret,
	struct bg_err **err)
{
	int fds[CONTENT_FILES_MAX], r = 0;
	unsigned n_fds = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		if (!is_new(engine, *paths[i]))
			continue;
		fds[n_fds] = open(*paths[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fds[n_fds] < 0)
			r = bg_err_sys(err, BG_ERR_IO, errno, "open %s", *paths[i]);
		else
			n_fds++;
	}
	if (r >= 0)
		r = job_start(engine->jobs, JOB_DIGEST, json_object(), fds, n_fds, progress, done,
			userdata, ret, err);
	for (unsigned i = 0; i < n_fds; i++)
		bg_close(fds[i]);
	return r;
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/*
 * The file under this digest stays, the new one goes. VMs that lie over an image go by its time
 * (vm_check_base): the older of both is good for either.
 */
static int join(struct trash *trash, const char *path, const struct stat *own, const char *kept,
	const struct stat *st)
{
	const struct timespec times[2] = {own->st_mtim, own->st_mtim};

	if (is_older(&own->st_mtim, &st->st_mtim) && utimensat(AT_FDCWD, kept, times, 0) < 0)
		return -errno;
	return trash_throw(trash, path);
}

/* One of another size was damaged by other hands: the new one, just read, replaces it. */
static int move(struct trash *trash, const char *path, const char *kept)
{
	struct stat own, st;

	if (stat(path, &own) < 0)
		return -errno;
	if (stat(kept, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == own.st_size)
		return join(trash, path, &own, kept, &st);
	return chmod(path, KEPT_MODE) < 0 || rename(path, kept) < 0 ? -errno : 0;
}

static int take(struct engine *engine, char **path, const char *hex, struct bg_err **err)
{
	_free_ char *kept = place_of(engine, hex), *old = NULL;
	int r = kept ? move(engine->trash, *path, kept) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "keep %s", *path);
	old = *path;
	*path = TAKE_PTR(kept);
	*strrchr(old, '/') = '\0';
	(void)rmdir(old); /* when it was the last one in there */
	return 0;
}

int content_store_take(struct engine *engine, char **const *paths, size_t n, const json_t *result,
	struct bg_err **err)
{
	const json_t *digests = json_object_get(result, "digests");
	_free_ char *folder = place_of(engine, NULL);
	size_t at = 0;
	int r = folder ? bg_paths_private_dir(folder, err)
		       : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");

	for (size_t i = 0; i < n && r >= 0; i++) {
		const char *hex;

		if (!is_new(engine, *paths[i]))
			continue;
		hex = json_string_value(json_array_get(digests, at++));
		r = hex && bg_sha256_valid(hex)
			    ? take(engine, paths[i], hex, err)
			    : bg_err_set(err, BG_ERR_WORKER, EPROTO,
				      "the worker's list of digests is malformed");
	}
	return r;
}

/* While they are loaded nothing can be said yet. */
static unsigned users(const struct engine *engine, const char *path)
{
	if (!engine->images || !engine->kernels)
		return 1;
	return images_naming(engine->images, path) + kernels_naming(engine->kernels, path);
}

void content_store_drop(const struct engine *engine, const char *path)
{
	int r = 0;

	if (is_kept(engine, path) && users(engine, path) == 0)
		r = trash_throw(engine->trash, path);
	if (r < 0)
		log_msg(LOG_WARN, "keep", "a file that nothing needs cannot be removed", "path",
			path, "error", strerror(-r), NULL);
}

static void each_unused(const struct engine *engine,
	void (*fn)(const struct engine *engine, const char *path, void *userdata), void *userdata)
{
	_free_ char *folder = place_of(engine, NULL);
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		_free_ char *path = bg_sha256_valid(e->d_name) ? place_of(engine, e->d_name) : NULL;

		if (path && users(engine, path) == 0)
			fn(engine, path, userdata);
	}
	(void)closedir(dir);
}

struct unused {
	unsigned n;
	uint64_t bytes;
};

static void count_it(const struct engine *engine, const char *path, void *userdata)
{
	struct unused *unused = userdata;

	(void)engine;
	unused->n++;
	unused->bytes += asset_real_bytes(path);
}

void content_store_unused(const struct engine *engine, unsigned *ret_n, uint64_t *ret_bytes)
{
	struct unused unused = {0};

	each_unused(engine, count_it, &unused);
	*ret_n = unused.n;
	*ret_bytes = unused.bytes;
}

static void drop_it(const struct engine *engine, const char *path, void *userdata)
{
	count_it(engine, path, userdata);
	content_store_drop(engine, path);
}

void content_store_prune(const struct engine *engine, unsigned *n, uint64_t *bytes)
{
	struct unused unused = {0};

	each_unused(engine, drop_it, &unused);
	*n += unused.n;
	*bytes += unused.bytes;
}

uint64_t content_store_shared_bytes(
	const struct engine *engine, char *const *const *paths, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		if (*paths[i] && is_kept(engine, *paths[i]) && users(engine, *paths[i]) > 1)
			bytes += asset_real_bytes(*paths[i]);
	return bytes;
}
