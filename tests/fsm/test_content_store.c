/* SPDX-License-Identifier: ISC */
/* daemon/asset/keep: equal files become one, which goes with the last row that names it; digests
 * are made up here. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/json.h"
#include "daemon/asset/content_store.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct world w;

/* Below the state directory; the caller's. */
static char *in_state(const char *name)
{
	char *path;

	CHECK(asprintf(&path, "%s/%s", w.paths.state_dir, name) > 0);
	return path;
}

static bool there(const char *name)
{
	_free_ char *path = in_state(name);

	return access(path, F_OK) == 0;
}

/* A file of an image that is being made; its path is the caller's. */
static char *made(const char *image, const char *file, size_t size, time_t mtime)
{
	_free_ char *name = NULL, *dir = NULL;
	struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
	char *path;
	int fd;

	CHECK(asprintf(&name, "images/%s", image) > 0);
	dir = in_state(name);
	CHECK_INT(bg_paths_private_dir(dir, NULL), 0);
	CHECK(asprintf(&path, "%s/%s", dir, file) > 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_INT(ftruncate(fd, (off_t)size), 0);
	CHECK_INT(futimens(fd, times), 0);
	close(fd);
	return path;
}

static int take(char **a, char **b, const char *digest_a, const char *digest_b, struct bg_err **err)
{
	_json_ json_t *result = json_pack("{s:[s, s*]}", "digests", digest_a, digest_b);

	return content_store_take(&w.engine, (char **const[]){a, b}, 2, result, err);
}

static struct stat look(const char *name)
{
	_free_ char *path = in_state(name);
	struct stat st;

	CHECK_INT(stat(path, &st), 0);
	return st;
}

/* A listed image with these files, whose paths are taken. */
static void add_image(const char *name, char *rootfs, char *seed)
{
	struct image_row *row = calloc(1, sizeof(*row));

	CHECK(row);
	row->name = strdup(name);
	row->source = strdup("test");
	row->rootfs = rootfs;
	row->work_seed = seed;
	row->managed = true;
	CHECK_INT(images_add(w.engine.images, row, NULL), 0);
	images_complete(w.engine.images, row);
}

TEST(equal_files_become_one)
{
	char *root1, *seed1, *root2, *seed2;
	struct stat st;

	world_open(&w, NULL);
	root1 = made("one", "rootfs.ext4", 5000, 2000);
	seed1 = made("one", "seed", 6000, 2000);
	CHECK_INT(take(&root1, &seed1, DIGEST_A, DIGEST_B, NULL), 0);
	CHECK(strstr(root1, "/blobs/" DIGEST_A) && strstr(seed1, "/blobs/" DIGEST_B));
	CHECK(!there("images/one"));
	st = look("blobs/" DIGEST_A);
	CHECK_INT(st.st_mode & 07777, 0400);
	CHECK_INT(st.st_nlink, 1);
	add_image("one", root1, seed1);
	root2 = made("two", "rootfs.ext4", 5000, 1000);
	seed2 = made("two", "seed", 6000, 3000);
	CHECK_INT(take(&root2, &seed2, DIGEST_A, DIGEST_B, NULL), 0);
	CHECK_STR(root2, root1);
	CHECK(look("blobs/" DIGEST_A).st_ino == st.st_ino);
	/* The older time counts. */
	CHECK_INT(look("blobs/" DIGEST_A).st_mtim.tv_sec, 1000);
	CHECK_INT(look("blobs/" DIGEST_B).st_mtim.tv_sec, 2000);
	add_image("two", root2, seed2);
	CHECK_INT(images_drop(w.engine.images, "one", NULL), 0);
	CHECK(there("blobs/" DIGEST_A) && there("blobs/" DIGEST_B));
	CHECK_INT(images_drop(w.engine.images, "two", NULL), 0);
	CHECK(!there("blobs/" DIGEST_A) && !there("blobs/" DIGEST_B));
	world_close(&w);
}

TEST(what_is_missing_or_kept_is_passed_over)
{
	char *root, *none = NULL, *seed;

	world_open(&w, NULL);
	root = made("one", "rootfs.ext4", 5000, 2000);
	CHECK_INT(take(&none, &root, DIGEST_A, NULL, NULL), 0);
	CHECK(!none && strstr(root, DIGEST_A));
	seed = made("one", "seed", 6000, 2000);
	CHECK_INT(take(&root, &seed, DIGEST_B, NULL, NULL), 0);
	CHECK(strstr(root, DIGEST_A) && strstr(seed, DIGEST_B));
	free(root);
	free(seed);
	world_close(&w);
}

TEST(a_damaged_one_is_replaced)
{
	char *root, *seed, *again, *none = NULL;

	world_open(&w, NULL);
	root = made("one", "rootfs.ext4", 5000, 2000);
	seed = made("one", "seed", 6000, 2000);
	CHECK_INT(take(&root, &seed, DIGEST_A, DIGEST_B, NULL), 0);
	CHECK_INT(chmod(root, 0600), 0);
	CHECK_INT(truncate(root, 7), 0);
	again = made("two", "rootfs.ext4", 5000, 2000);
	CHECK_INT(take(&again, &none, DIGEST_A, NULL, NULL), 0);
	CHECK_INT(look("blobs/" DIGEST_A).st_size, 5000);
	free(root);
	free(seed);
	free(again);
	world_close(&w);
}

TEST(a_worker_that_talks_nonsense)
{
	static const char *const bad[] = {"", "../../../../etc/passwd", "AAAA", DIGEST_A "0", NULL};
	char *root, *none = NULL;

	world_open(&w, NULL);
	root = made("one", "rootfs.ext4", 5000, 2000);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_err_ struct bg_err *err = NULL;
		_json_ json_t *result =
			bad[i] ? json_pack("{s:[s]}", "digests", bad[i]) : json_object();

		CHECK_INT(content_store_take(
				  &w.engine, (char **const[]){&none, &root}, 2, result, &err),
			-EPROTO);
		CHECK(err && strstr(err->message, "digests"));
		CHECK(strstr(root, "images/one/rootfs.ext4") && access(root, F_OK) == 0);
	}
	free(root);
	world_close(&w);
}

TEST(what_no_row_names_is_listed_and_goes_only_when_asked)
{
	_free_ char *dir = NULL;
	_json_ json_t *status = NULL;
	const json_t *orphan;
	char *root, *seed, *stray, *none = NULL, *other;
	unsigned unused;
	uint64_t bytes;

	world_open(&w, NULL);
	root = made("one", "rootfs.ext4", 5000, 2000);
	seed = strdup("/nowhere/seed");
	CHECK_INT(take(&root, &none, DIGEST_A, NULL, NULL), 0);
	add_image("one", root, seed);
	stray = made("gone", "rootfs.ext4", 5000, 2000);
	CHECK_INT(take(&stray, &none, DIGEST_B, NULL, NULL), 0);
	free(stray);
	free(made("folder-without-a-row", "rootfs.ext4", 1, 1));
	dir = in_state("blobs/notes");
	other = strdup(dir);
	CHECK(other && close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
	world_reopen(&w);
	CHECK(there("blobs/" DIGEST_A) && there("blobs/" DIGEST_B) && there("blobs/notes"));
	/* Its name may be given again, so it is moved away, with what is in it. */
	CHECK(!there("images/folder-without-a-row"));
	CHECK(there("set-aside/images-folder-without-a-row/rootfs.ext4"));
	status = store_status(w.engine.store);
	orphan = json_array_get(json_object_get(status, "orphans"), 0);
	CHECK_STR(json_string_value(json_object_get(orphan, "name")), "folder-without-a-row");
	CHECK_STR(json_string_value(json_object_get(orphan, "path")),
		"set-aside/images-folder-without-a-row");
	CHECK(store_has_orphan(w.engine.store, "set-aside/images-folder-without-a-row"));
	world_reopen(&w); /* it stays listed until it is removed */
	CHECK(store_has_orphan(w.engine.store, "set-aside/images-folder-without-a-row"));
	CHECK(!store_has_orphan(w.engine.store, "images/one"));
	store_forget_orphan(w.engine.store, "set-aside/images-folder-without-a-row");
	CHECK(!store_has_orphan(w.engine.store, "set-aside/images-folder-without-a-row"));
	content_store_unused(&w.engine, &unused, &bytes);
	CHECK_INT(unused, 1);
	unused = 0;
	content_store_prune(&w.engine, &unused, &bytes);
	CHECK_INT(unused, 1);
	CHECK(there("blobs/" DIGEST_A) && !there("blobs/" DIGEST_B) && there("blobs/notes"));
	/* Neither goes what is not a kept file, named or not. */
	content_store_drop(&w.engine, other);
	content_store_drop(&w.engine, images_find(w.engine.images, "one")->rootfs);
	CHECK(there("blobs/notes") && there("blobs/" DIGEST_A));
	free(other);
	world_close(&w);
}
