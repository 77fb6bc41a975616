/* SPDX-License-Identifier: ISC */
/* See rootfs.h. */
#include "worker/rootfs.h"

#include <sys/stat.h>

#include "worker/what_is_in.h"

#define WORK_DIR	"root"
#define DEFAULT_FREE	(16 * MIB) /* free bytes of an image whose size was not given */
#define DEFAULT_JOURNAL (32 * MIB)

static const struct ext4_attr home = {.mode = 0700};

struct rootfs {
	struct job *job;
	struct ext4 *root, *seed;
	uint64_t entries;
	int64_t size, seed_size, free;
};

int rootfs_take(
	struct rootfs *u, struct source *src, struct archive_entry *entry, struct bg_err **err)
{
	const char *path, *target;
	int r = entry_path(src, entry, &path, err);

	if (r >= 0)
		r = entry_link_path(src, entry, &target, err);
	if (r < 0)
		return r;
	u->entries++;
	if (!target)
		return entry_write(u->root, path, src, entry, err);
	r = ext4_link(u->root, path, target);
	if (r == -ENOENT)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, ENOENT,
			"/%s is a hard link to /%s, which is not in the archive", path, target);
	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, path, err) : 0;
}

void rootfs_layer(struct rootfs *u, unsigned n)
{
	ext4_layer(u->root, n);
}

/* Of /root itself only the content goes, unless it is a link: the work disk is mounted there. */
int rootfs_whiteout(struct rootfs *u, const char *path, bool self, struct bg_err **err)
{
	int r = ext4_whiteout(u->root, path, self);

	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, path, err) : 0;
}

uint64_t rootfs_entries(const struct rootfs *u)
{
	return u->entries;
}

uint64_t rootfs_copied(const struct rootfs *u)
{
	return ext4_copied(u->root);
}

static bool has_file(struct ext4 *e, const char *const *paths)
{
	struct ext4_node *node;

	for (size_t i = 0; paths[i]; i++)
		if (ext4_lookup(e, paths[i], &node) == 0 && ext4_node_type(node) == S_IFREG)
			return true;
	return false;
}

/* The text of the first of the two that is a file of a sane size; *ret stays NULL without one. */
static int read_os_release(struct rootfs *u, char **ret)
{
	struct ext4_node *node;
	size_t len;

	for (size_t i = 0; os_release_paths[i]; i++) {
		int r = ext4_lookup(u->root, os_release_paths[i], &node);

		if (r >= 0)
			r = ext4_read_file(u->root, node, OS_RELEASE_MAX, ret, &len);
		if (r >= 0 || r == -ENOMEM || r == -EIO)
			return r;
	}
	return 0;
}

static json_t *describe(struct rootfs *u, char *text, uint64_t size, uint64_t seed_size)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:b, s:b}", "size", (json_int_t)size, "seed_size",
		(json_int_t)seed_size, "entries", (json_int_t)u->entries, "os_release",
		os_release_parse(text), "has_sshd", (int)has_file(u->root, sshd_paths), "has_init",
		(int)has_file(u->root, init_paths));
}

static int get_params(struct rootfs *u, struct bg_err **err)
{
	const int64_t max = (int64_t)BG_DISK_MIB_MAX << 20, min = (int64_t)(BG_DISK_MIB_MIN * MIB);
	int r;

	u->free = (int64_t)DEFAULT_FREE;
	u->seed_size = (int64_t)(64 * MIB);
	r = bg_json_or_int(u->job->params, "size", BG_ERR_WORKER, 0, max, &u->size, err);
	if (r >= 0)
		r = bg_json_or_int(
			u->job->params, "seed_size", BG_ERR_WORKER, min, max, &u->seed_size, err);
	if (r >= 0)
		r = bg_json_or_int(u->job->params, "free", BG_ERR_WORKER, 0, max, &u->free, err);
	if (r >= 0 && u->size != 0 && u->size < min)
		return bg_err_set(
			err, BG_ERR_WORKER, EINVAL, "\"size\" is below %lld", (long long)min);
	return r;
}

static int create(struct rootfs *u, int root_fd, int seed_fd, bool layered)
{
	struct ext4_opts root = {
		.label = "banger-root",
		.max_size = u->size ? (uint64_t)u->size : BG_IMAGE_MAX,
		.journal_size = u->size ? ext4_journal_for((uint64_t)u->size) : DEFAULT_JOURNAL,
		.max_entries = BG_IMAGE_ENTRIES_MAX,
		.replace_trees = layered,
	};
	struct ext4_opts seed = {
		.label = "banger-work",
		.max_size = BG_MAX((uint64_t)u->seed_size, BG_IMAGE_MAX),
		.journal_size = ext4_journal_for((uint64_t)u->seed_size),
		.max_entries = BG_IMAGE_ENTRIES_MAX,
		.replace_trees = layered,
	};
	int r = ext4_create(root_fd, &root, &u->root);

	if (r >= 0)
		r = ext4_create(seed_fd, &seed, &u->seed);
	if (r < 0)
		return r;
	ext4_mount(u->root, WORK_DIR, u->seed);
	return ext4_mkdir(u->root, WORK_DIR, &home, NULL);
}

int rootfs_new(struct job *job, int root_fd, int seed_fd, bool layered, struct rootfs **ret,
	struct bg_err **err)
{
	_unref_(rootfs) struct rootfs *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "start the image");
	u->job = job;
	r = get_params(u, err);
	if (r < 0)
		return r;
	r = create(u, root_fd, seed_fd, layered);
	if (r < 0)
		return job_write_err(r, err, "start the image");
	*ret = TAKE_PTR(u);
	return 0;
}

void rootfs_free(struct rootfs *u)
{
	if (!u)
		return;
	ext4_free(u->root);
	ext4_free(u->seed);
	free(u);
}

/* /root is where the guest mounts the work disk: a directory, or a link that leads to one. */
static int settle(struct rootfs *u, struct bg_err **err)
{
	int r = ext4_settle(u->root, &home);

	if (r == -ENOTDIR)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, ENOTDIR,
			"/root is not a directory: the work disk is mounted there");
	if (r == -EBUSY)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBUSY,
			"/root leads to the whole file system: the work disk is mounted there");
	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, WORK_DIR, err) : 0;
}

int rootfs_finish(struct rootfs *u, json_t **ret, struct bg_err **err)
{
	uint64_t size = 0, seed_size = 0;
	_free_ char *text = NULL;
	int r = settle(u, err);

	if (r < 0)
		return r;
	r = read_os_release(u, &text);
	if (r >= 0)
		r = ext4_finish(u->root, (uint64_t)u->size, u->size ? 0 : (uint64_t)u->free, &size);
	if (r < 0)
		return entry_err(r, BG_ERR_IMAGE_INVALID, "", err);
	r = ext4_finish(u->seed, (uint64_t)u->seed_size, MIB, &seed_size);
	if (r < 0)
		return entry_err(r, BG_ERR_IMAGE_INVALID, WORK_DIR, err);
	*ret = describe(u, text, size, seed_size);
	return *ret ? 0 : bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "describe the image");
}
