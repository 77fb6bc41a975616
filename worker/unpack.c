/* SPDX-License-Identifier: ISC */
/*
 * The unpack job: a root file system as a tar stream becomes two ext4 images, the root and the
 * seed of the work disk (/root). Looks at what is needed to run it: os-release, init, sshd.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "worker/entry.h"

#define WORK_DIR	"root"
#define DEFAULT_FREE	(16 * MIB) /* free bytes of an image whose size was not given */
#define DEFAULT_JOURNAL (32 * MIB)
#define OS_RELEASE_MAX	(16 * 1024)

/* The text of a file named os-release, kept on its way past. */
struct text {
	char buf[OS_RELEASE_MAX];
	size_t len;
};

struct unpack {
	struct job *job;
	struct source *src;
	struct ext4 *root, *seed;
	uint64_t entries;
	struct text etc, usr; /* /etc/os-release wins over /usr/lib/os-release */
	int64_t size, seed_size, free;
};

static void see_text(void *arg, const void *buf, size_t len)
{
	struct text *t = arg;
	size_t n = BG_MIN(len, sizeof(t->buf) - 1 - t->len);

	memcpy(t->buf + t->len, buf, n);
	t->len += n;
}

/* Which image an entry goes to, and its name there. */
static struct ext4 *route(struct unpack *u, const char **path)
{
	size_t len = strlen(WORK_DIR);

	if (strncmp(*path, WORK_DIR "/", len + 1) != 0)
		return u->root;
	*path += len + 1;
	return u->seed;
}

static int hard_link(struct unpack *u, const char *path, const char *target, struct bg_err **err)
{
	const char *to = path, *from = target;
	struct ext4 *e = route(u, &to);
	int r;

	if (route(u, &from) != e)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EXDEV,
			"/%s is a hard link to /%s: one of them is on the work disk", path, target);
	r = ext4_link(e, to, from);
	if (r == -ENOENT)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, ENOENT,
			"/%s is a hard link to /%s, which is not in the archive", path, target);
	return r < 0 ? entry_err(r, BG_ERR_IMAGE_INVALID, path, err) : 0;
}

/* /root itself: an empty directory in the root, the top of the seed. */
static int work_dir(struct unpack *u, struct archive_entry *entry, struct bg_err **err)
{
	int r;

	if (archive_entry_filetype(entry) != AE_IFDIR)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, ENOTDIR,
			"/root is not a directory: the work disk is mounted there");
	r = entry_write(u->root, WORK_DIR, u->src, entry, NULL, err);
	return r < 0 ? r : entry_write(u->seed, "", u->src, entry, NULL, err);
}

static int take_entry(struct unpack *u, struct archive_entry *entry, struct bg_err **err)
{
	const char *path, *target, *at;
	struct entry_tap tap = {.see = see_text};
	struct ext4 *e;
	int r = entry_path(u->src, entry, &path, err);

	if (r >= 0)
		r = entry_link_path(u->src, entry, &target, err);
	if (r < 0)
		return r;
	if (bg_streq(path, WORK_DIR) || bg_streq(path, WORK_DIR "/"))
		return work_dir(u, entry, err);
	if (target)
		return hard_link(u, path, target, err);
	tap.arg = bg_streq(path, "etc/os-release")	 ? &u->etc
		  : bg_streq(path, "usr/lib/os-release") ? &u->usr
							 : NULL;
	if (tap.arg)
		((struct text *)tap.arg)->len = 0;
	at = path;
	e = route(u, &at);
	return entry_write(e, at, u->src, entry, tap.arg ? &tap : NULL, err);
}

static int take_all(struct unpack *u, struct bg_err **err)
{
	struct archive_entry *entry;
	int r;

	while ((r = source_next(u->src, &entry, err)) > 0) {
		r = take_entry(u, entry, err);
		if (r < 0)
			return r;
		u->entries++;
	}
	if (r >= 0 && u->entries == 0)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG, "the archive is empty");
	return r;
}

static bool has_file(struct ext4 *e, const char *const *paths, size_t n)
{
	struct ext4_node *node;

	for (size_t i = 0; i < n; i++)
		if (ext4_lookup(e, paths[i], &node) == 0 && ext4_node_type(node) == S_IFREG)
			return true;
	return false;
}

/* Takes quotes and their escapes off a value of os-release, in place. */
static void unquote(char *v)
{
	size_t len = strlen(v);
	char *out = v;

	if (len >= 2 && (v[0] == '"' || v[0] == '\'') && v[len - 1] == v[0]) {
		v[len - 1] = '\0';
		v++;
	}
	for (; *v; v++) {
		if (*v == '\\' && v[1])
			v++;
		*out++ = *v;
	}
	*out = '\0';
}

static json_t *os_release(struct unpack *u)
{
	static const char *const keys[] = {
		"ID", "NAME", "PRETTY_NAME", "VERSION_ID", "VERSION_CODENAME"};
	struct text *t = u->etc.len ? &u->etc : &u->usr;
	json_t *o = json_object();
	char *save = NULL;

	t->buf[t->len] = '\0';
	for (char *line = strtok_r(t->buf, "\n", &save); o && line;
		line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		unquote(value);
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (bg_streq(keys[i], line))
				json_object_set_new(o, line, bg_json_str(value));
	}
	return o;
}

static json_t *describe(struct unpack *u, uint64_t size, uint64_t seed_size)
{
	static const char *const sshd[] = {"/usr/sbin/sshd", "/sbin/sshd", "/usr/sbin/dropbear"};
	static const char *const init[] = {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd"};

	return json_pack("{s:I, s:I, s:I, s:o, s:b, s:b}", "size", (json_int_t)size, "seed_size",
		(json_int_t)seed_size, "entries", (json_int_t)u->entries, "os_release",
		os_release(u), "has_sshd", (int)has_file(u->root, sshd, ARRAY_SIZE(sshd)),
		"has_init", (int)has_file(u->root, init, ARRAY_SIZE(init)));
}

static int get_params(struct unpack *u, struct bg_err **err)
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

static int create(struct unpack *u)
{
	struct ext4_opts root = {
		.label = "banger-root",
		.max_size = u->size ? (uint64_t)u->size : BG_IMAGE_MAX,
		.journal_size = u->size ? ext4_journal_for((uint64_t)u->size) : DEFAULT_JOURNAL,
		.max_entries = BG_IMAGE_ENTRIES_MAX,
	};
	struct ext4_opts seed = {
		.label = "banger-work",
		.max_size = BG_MAX((uint64_t)u->seed_size, BG_IMAGE_MAX),
		.journal_size = ext4_journal_for((uint64_t)u->seed_size),
		.max_entries = BG_IMAGE_ENTRIES_MAX,
		.no_absolute_links = true,
	};
	const struct ext4_attr home = {.mode = 0700};
	int r = ext4_create(u->job->fd[1], &root, &u->root);

	if (r >= 0)
		r = ext4_create(u->job->fd[2], &seed, &u->seed);
	if (r >= 0)
		r = ext4_mkdir(u->root, WORK_DIR, &home, NULL);
	return r < 0 ? r : ext4_mkdir(u->seed, "", &home, NULL);
}

static int finish(struct unpack *u, json_t **ret, struct bg_err **err)
{
	uint64_t size = 0, seed_size = 0;
	_json_ json_t *out = NULL;
	int r = ext4_finish(u->root, (uint64_t)u->size, u->size ? 0 : (uint64_t)u->free, &size);

	if (r < 0)
		return entry_err(r, BG_ERR_IMAGE_INVALID, "", err);
	r = ext4_finish(u->seed, (uint64_t)u->seed_size, MIB, &seed_size);
	if (r < 0)
		return entry_err(r, BG_ERR_IMAGE_INVALID, WORK_DIR, err);
	out = describe(u, size, seed_size);
	if (!out)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "describe the image");
	*ret = TAKE_PTR(out);
	return 0;
}

static int unpack(struct unpack *u, json_t **ret, struct bg_err **err)
{
	int r = get_params(u, err);

	if (r < 0)
		return r;
	r = create(u);
	if (r < 0)
		return job_write_err(r, err, "start the image");
	r = source_open_fd(u->job, u->job->fd[0], SOURCE_TAR, &u->src, err);
	if (r >= 0)
		r = take_all(u, err);
	return r < 0 ? r : finish(u, ret, err);
}

int job_unpack(struct job *job, json_t **ret, struct bg_err **err)
{
	struct unpack *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "unpack");
	u->job = job;
	r = unpack(u, ret, err);
	source_free(u->src);
	ext4_free(u->root);
	ext4_free(u->seed);
	free(u);
	return r;
}
