/* SPDX-License-Identifier: ISC */
/* See blobs.h. */
#include "daemon/asset/blobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/oci_ref.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

TAILQ_HEAD(turn_list, blobs_turn);

struct blobs {
	struct engine *engine;
	char *whole, *partial;	/* directories */
	struct turn_list turns; /* the first has it */
};

struct blobs_turn {
	struct blobs *blobs;
	TAILQ_ENTRY(blobs_turn) link;
	struct loop_source *wake;
	void (*ready)(void *userdata);
	void *userdata;
};

static int out_of_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int blobs_new(struct engine *engine, struct blobs **ret, struct bg_err **err)
{
	_unref_(blobs) struct blobs *blobs = calloc(1, sizeof(*blobs));
	const char *cache = engine->paths->cache_dir;

	if (!blobs)
		return out_of_memory(err);
	TAILQ_INIT(&blobs->turns);
	blobs->engine = engine;
	if (asprintf(&blobs->whole, "%s/blobs/sha256", cache) < 0 ||
		asprintf(&blobs->partial, "%s/blobs/partial", cache) < 0)
		return out_of_memory(err);
	*ret = TAKE_PTR(blobs);
	return 0;
}

void blobs_free(struct blobs *blobs)
{
	if (!blobs)
		return;
	free(blobs->whole);
	free(blobs->partial);
	free(blobs);
}

static void on_wake(void *userdata)
{
	struct blobs_turn *turn = userdata;

	loop_source_free(TAKE_PTR(turn->wake));
	turn->ready(turn->userdata);
}

static int wake_first(struct blobs *blobs)
{
	struct blobs_turn *turn = TAILQ_FIRST(&blobs->turns);

	return turn ? loop_defer(blobs->engine->loop, "blobs turn", on_wake, turn, &turn->wake) : 0;
}

int blobs_wait_turn(struct blobs *blobs, void (*ready)(void *userdata), void *userdata,
	struct blobs_turn **ret, struct bg_err **err)
{
	struct blobs_turn *turn = calloc(1, sizeof(*turn));
	bool first = TAILQ_EMPTY(&blobs->turns);

	if (!turn)
		return out_of_memory(err);
	*turn = (struct blobs_turn){.blobs = blobs, .ready = ready, .userdata = userdata};
	TAILQ_INSERT_TAIL(&blobs->turns, turn, link);
	if (first && wake_first(blobs) < 0) {
		blobs_turn_free(turn);
		return out_of_memory(err);
	}
	*ret = turn;
	return 0;
}

void blobs_turn_free(struct blobs_turn *turn)
{
	struct blobs *blobs;
	bool had;

	if (!turn)
		return;
	blobs = turn->blobs;
	had = TAILQ_FIRST(&blobs->turns) == turn;
	TAILQ_REMOVE(&blobs->turns, turn, link);
	loop_source_free(turn->wake);
	free(turn);
	if (had && wake_first(blobs) < 0)
		log_msg(LOG_ERROR, "blobs", "a pull that waits cannot be woken", NULL);
}

static char *path_of(const char *dir, const char *digest)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", dir, digest + sizeof("sha256:") - 1) < 0 ? NULL : path;
}

static int make_dirs(struct blobs *blobs, struct bg_err **err)
{
	int r = bg_paths_private_dir(blobs->whole, err);

	return r < 0 ? r : bg_paths_private_dir(blobs->partial, err);
}

/* Its time of change says when it was last of use. */
static int open_whole(const char *path, uint64_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size) {
		bg_close(fd);
		return -EBADMSG;
	}
	(void)futimens(fd, NULL);
	return fd;
}

int blobs_open(struct blobs *blobs, const char *digest, uint64_t size, int *ret_fd, bool *whole,
	struct bg_err **err)
{
	_free_ char *path = path_of(blobs->whole, digest);
	_free_ char *partial = path_of(blobs->partial, digest);
	int r = make_dirs(blobs, err);

	if (r < 0)
		return r;
	if (!path || !partial)
		return out_of_memory(err);
	*ret_fd = open_whole(path, size);
	*whole = *ret_fd >= 0;
	if (*whole)
		return 0;
	*ret_fd = open(partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret_fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make %s", partial);
	return 0;
}

int blobs_commit(struct blobs *blobs, const char *digest, struct bg_err **err)
{
	_free_ char *path = path_of(blobs->whole, digest);
	_free_ char *partial = path_of(blobs->partial, digest);

	if (!path || !partial)
		return out_of_memory(err);
	/* Read-only from now on: what was checked stays so. */
	if (chmod(partial, 0400) < 0 || rename(partial, path) < 0) {
		if (errno == ENOENT && access(path, F_OK) == 0)
			return 0;
		return bg_err_sys(err, BG_ERR_IO, errno, "keep %s", path);
	}
	return 0;
}

struct found {
	char name[BG_SHA256_HEX + 1];
	struct timespec used;
	uint64_t bytes; /* on disk */
};

/* All regular files of a directory; *ret is the caller's. */
static int list_files(const char *dir, struct found **ret, size_t *ret_n)
{
	_free_ struct found *list = NULL;
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	*ret = NULL;
	*ret_n = 0;
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		struct found *more;
		struct stat st;

		if (strlen(e->d_name) != BG_SHA256_HEX ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		more = realloc(list, (n + 1) * sizeof(*list));
		if (!more)
			break;
		list = more;
		memcpy(list[n].name, e->d_name, sizeof(list[n].name));
		list[n].used = st.st_mtim;
		list[n++].bytes = (uint64_t)st.st_blocks * 512;
	}
	(void)closedir(d);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static bool drop(const struct blobs *blobs, const char *dir, const struct found *f)
{
	char path[4096];

	return snprintf(path, sizeof(path), "%s/%s", dir, f->name) < (int)sizeof(path) &&
	       trash_throw(blobs->engine->trash, path) == 0;
}

static int older_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct found *)a)->used;
	const struct timespec *y = &((const struct found *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

void blobs_trim(struct blobs *blobs, uint64_t max)
{
	_free_ struct found *list = NULL;
	uint64_t total = 0;
	size_t n;

	if (list_files(blobs->whole, &list, &n) < 0 || n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		total += list[i].bytes;
	qsort(list, n, sizeof(*list), older_first);
	for (size_t i = 0; i < n && total > max; i++)
		if (drop(blobs, blobs->whole, &list[i]))
			total -= list[i].bytes;
}

static int prune_dir(const struct blobs *blobs, const char *dir, unsigned *files, uint64_t *bytes,
	struct bg_err **err)
{
	_free_ struct found *list = NULL;
	size_t n;
	int r = list_files(dir, &list, &n);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", dir);
	for (size_t i = 0; i < n; i++) {
		if (!drop(blobs, dir, &list[i]))
			continue;
		*files += 1;
		*bytes += list[i].bytes;
	}
	return 0;
}

int blobs_prune(struct blobs *blobs, unsigned *ret_files, uint64_t *ret_bytes, struct bg_err **err)
{
	int r;

	*ret_files = 0;
	*ret_bytes = 0;
	r = prune_dir(blobs, blobs->whole, ret_files, ret_bytes, err);
	if (r >= 0 && TAILQ_EMPTY(&blobs->turns))
		r = prune_dir(blobs, blobs->partial, ret_files, ret_bytes, err);
	return r;
}
