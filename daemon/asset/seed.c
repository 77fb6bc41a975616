/* SPDX-License-Identifier: ISC */
/* See seed.h. Blocks for opens, renames and unlinks of small files only. */
#include "daemon/asset/seed.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "common/paths.h"
#include "common/sha256.h"
#include "daemon/engine.h"

#define SEEDS_DIR "seeds"

struct seed_call {
	struct job *job;
	char *path, *tmp;
	seed_done_fn done;
	void *userdata;
};

int seed_name(const char *rootfs, char ret[BG_SHA256_HEX])
{
	const unsigned chunk = BG_COW_CHUNK;
	struct bg_sha256 h;
	struct stat st;

	if (stat(rootfs, &st) < 0)
		return -errno;
	bg_sha256_init(&h);
	bg_sha256_add(&h, rootfs, strlen(rootfs) + 1);
	bg_sha256_add(&h, &st.st_size, sizeof(st.st_size));
	bg_sha256_add(&h, &st.st_ino, sizeof(st.st_ino));
	bg_sha256_add(&h, &st.st_mtim.tv_sec, sizeof(st.st_mtim.tv_sec));
	bg_sha256_add(&h, &st.st_mtim.tv_nsec, sizeof(st.st_mtim.tv_nsec));
	bg_sha256_add(&h, &chunk, sizeof(chunk)); /* a seed of an earlier banger's has another */
	bg_sha256_end(&h, ret);
	return 0;
}

int seed_path(const struct engine *engine, const char *rootfs, char **ret, struct bg_err **err)
{
	char name[BG_SHA256_HEX];
	int r = seed_name(rootfs, name);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "look at %s", rootfs);
	if (asprintf(ret, "%s/" SEEDS_DIR "/%s", engine->paths->cache_dir, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

void seed_call_free(struct seed_call *call)
{
	if (!call)
		return;
	job_free(call->job);
	if (call->tmp)
		(void)bg_unlink_small(AT_FDCWD, call->tmp);
	free(call->path);
	free(call->tmp);
	free(call);
}

/* The worker knows no names: its error gains them here. */
static void on_made(const json_t *result, struct bg_err *err, void *userdata)
{
	struct seed_call *call = userdata;
	_err_ struct bg_err *failed = bg_err_copy(err);

	(void)result;
	if (failed)
		bg_err_context(&failed, "make %s", call->path);
	else if (rename(call->tmp, call->path) < 0)
		bg_err_sys(&failed, BG_ERR_IO, errno, "make %s", call->path);
	else
		free(TAKE_PTR(call->tmp));
	call->done(failed, call->userdata);
}

/* Two creations at once make it twice: the later one replaces the same. */
static int open_files(struct seed_call *call, const struct engine *engine, const char *rootfs,
	int *from, int *to, struct bg_err **err)
{
	_free_ char *dir = NULL;
	int r;

	if (asprintf(&dir, "%s/" SEEDS_DIR, engine->paths->cache_dir) < 0 ||
		asprintf(&call->tmp, "%s.XXXXXX", call->path) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_paths_private_dir(dir, err);
	if (r < 0)
		return r;
	*from = open(rootfs, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*from < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", rootfs);
	*to = mkostemp(call->tmp, O_CLOEXEC);
	if (*to < 0) {
		r = -errno;
		free(TAKE_PTR(call->tmp));
		return bg_err_sys(err, BG_ERR_IO, -r, "make %s", call->path);
	}
	return 0;
}

int seed_make(struct engine *engine, const char *rootfs, seed_done_fn done, void *userdata,
	struct seed_call **ret, struct bg_err **err)
{
	_unref_(seed_call) struct seed_call *call = calloc(1, sizeof(*call));
	_close_ int from = -1, to = -1;
	int r;

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*call = (struct seed_call){.done = done, .userdata = userdata};
	r = seed_path(engine, rootfs, &call->path, err);
	if (r < 0)
		return r;
	if (access(call->path, R_OK) == 0)
		return 1;
	r = open_files(call, engine, rootfs, &from, &to, err);
	if (r >= 0)
		r = job_start(engine->jobs, JOB_COW_SEED, json_object(), (int[]){from, to}, 2, NULL,
			on_made, call, &call->job, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(call);
	return 0;
}

void seeds_prune(const struct engine *engine,
	bool (*is_used)(const void *userdata, const char *name), const void *userdata)
{
	_free_ char *path = NULL;
	const struct dirent *de;
	DIR *dir;

	if (asprintf(&path, "%s/" SEEDS_DIR, engine->paths->cache_dir) < 0) {
		path = NULL;
		return;
	}
	dir = opendir(path);
	while (dir && (de = readdir(dir)))
		if (de->d_name[0] != '.' && !is_used(userdata, de->d_name))
			(void)bg_unlink_small(dirfd(dir), de->d_name);
	if (dir)
		closedir(dir);
}
