/* SPDX-License-Identifier: ISC */
/*
 * The archive job: what `docker save` and `podman save` write, a tar of layers that are tars
 * themselves. Finds out where in the file each layer lies, for the flatten job to read it there:
 * nothing is unpacked. Foreign bytes: every offset is one that lies in the file.
 */
#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>

#include "worker/manifest.h"
#include "worker/source.h"

#define FILES_MAX 4096 /* of one archive: Docker writes five for each layer */
#define BLOCK	  512
#define BLOBS	  "blobs/sha256/"

struct file {
	char *name, *link; /* link: the name it stands for, or NULL */
	uint64_t offset, size;
};

struct docker {
	struct job *job;
	const char *name, *tag;
	struct file *files;
	size_t n;
};

static int wrong(const struct docker *a, const char *why, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
		"%s is not a docker archive that can be read: %s", a->name, why);
}

/* The data of the entry whose headers start at `at`: behind those of names and attributes. */
static int data_offset(int fd, uint64_t at, uint64_t *ret)
{
	char h[BLOCK], digits[13];

	for (int i = 0; i < 16; i++) {
		if (pread(fd, h, sizeof(h), (off_t)at) != (ssize_t)sizeof(h))
			return -EBADMSG;
		at += BLOCK;
		if (!h[156] || !strchr("xgLK", h[156])) {
			*ret = at;
			return 0;
		}
		memcpy(digits, h + 124, 12);
		digits[12] = '\0';
		at += (strtoull(digits, NULL, 8) + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
	}
	return -EBADMSG;
}

/* What a link below dir means: "../x/layer.tar" becomes "x/layer.tar". */
static char *resolve(const char *path, const char *target)
{
	const char *slash = strrchr(path, '/');
	size_t dir = slash ? (size_t)(slash - path) : 0;
	char *out;

	while (strncmp(target, "../", 3) == 0) {
		target += 3;
		while (dir > 0 && path[--dir] != '/')
			;
	}
	if (asprintf(&out, "%.*s%s%s", (int)dir, path, dir ? "/" : "", target) < 0)
		return NULL;
	return out;
}

/* Names are below the archive's top, however they are written. */
static const char *strip(const char *path)
{
	while (path && (path[0] == '/' || (path[0] == '.' && path[1] == '/')))
		path++;
	return path;
}

static int take(struct docker *a, struct source *src, struct archive_entry *entry, const char *path,
	struct bg_err **err)
{
	const char *soft = archive_entry_symlink(entry);
	const char *hard = strip(archive_entry_hardlink(entry));
	struct file *f = &a->files[a->n];
	struct stat st;

	if (a->n == FILES_MAX)
		return wrong(a, "it has over 4096 files", err);
	f->name = strdup(path);
	f->link = soft ? resolve(path, soft) : hard ? strdup(hard) : NULL;
	a->n++;
	if (!f->name || ((soft || hard) && !f->link))
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "%s: read it", a->name);
	f->size = (uint64_t)BG_MAX(archive_entry_size(entry), (la_int64_t)0);
	if (f->link)
		return 0;
	if (data_offset(a->job->fd[0], source_entry_offset(src), &f->offset) < 0 ||
		fstat(a->job->fd[0], &st) < 0 || f->offset > (uint64_t)st.st_size ||
		f->size > (uint64_t)st.st_size - f->offset)
		return wrong(a, "it ends within a file", err);
	return 0;
}

static int scan(struct docker *a, struct bg_err **err)
{
	_unref_(source) struct source *src = NULL;
	struct archive_entry *entry;
	int r = source_open_fd(a->job, a->job->fd[0], SOURCE_TAR, &src, err);

	while (r >= 0 && (r = source_next(src, &entry, err)) > 0) {
		const char *path = strip(archive_entry_pathname(entry));
		mode_t type = archive_entry_filetype(entry);

		if (source_is_compressed(src)) {
			wrong(a, "it is compressed as a whole", err);
			bg_err_hint(err, "unpack it first: gunzip, zstd -d or xz -d");
			return -EBADMSG;
		}
		/* A hard link has no type of its own. */
		if (path && (type == AE_IFREG || type == AE_IFLNK || archive_entry_hardlink(entry)))
			r = take(a, src, entry, path, err);
	}
	return r;
}

static const struct file *find(const struct docker *a, const char *name)
{
	name = strip(name);
	for (int links = 0; name && links < 8; links++) {
		const struct file *f = NULL;

		/* The last of a name counts, as in unpacking. */
		for (size_t i = a->n; !f && i-- > 0;)
			if (bg_streq(a->files[i].name, name))
				f = &a->files[i];
		if (!f || !f->link)
			return f;
		name = f->link;
	}
	return NULL;
}

static int read_text(
	const struct docker *a, const char *name, char **ret, size_t *ret_len, struct bg_err **err)
{
	const struct file *f = find(a, name);
	_free_ char *text = NULL;

	if (!f || f->size > MANIFEST_MAX)
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
			"%s is not a docker archive that can be read: it has no %.100s, or one "
			"over 4 "
			"MiB",
			a->name, name);
	text = malloc(f->size + 1);
	if (!text)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "%s: read it", a->name);
	if (pread(a->job->fd[0], text, f->size, (off_t)f->offset) != (ssize_t)f->size)
		return wrong(a, "it ends within a file", err);
	text[f->size] = '\0';
	*ret_len = f->size;
	*ret = TAKE_PTR(text);
	return 0;
}

static bool is_tagged(const json_t *image, const char *tag)
{
	const json_t *tags = json_object_get(image, "RepoTags"), *entry;
	size_t i;

	json_array_foreach (tags, i, entry) {
		const char *has = json_string_value(entry);
		size_t len = has ? strlen(has) : 0, want = strlen(tag);

		/* Some tools write "docker.io/" or "localhost/" before what was asked for. */
		if (len >= want && bg_streq(has + len - want, tag) &&
			(len == want || has[len - want - 1] == '/'))
			return true;
	}
	return false;
}

static int choose(
	const struct docker *a, const json_t *list, const json_t **ret, struct bg_err **err)
{
	const json_t *image;
	size_t i;

	if (!a->tag && json_array_size(list) == 1) {
		*ret = json_array_get(list, 0);
		return 0;
	}
	json_array_foreach (list, i, image) {
		if (!a->tag || !is_tagged(image, a->tag))
			continue;
		*ret = image;
		return 0;
	}
	if (json_array_size(list) == 0)
		return wrong(a, "its manifest.json lists no image", err);
	if (a->tag)
		bg_err_set(err, BG_ERR_REGISTRY_NOT_FOUND, ENOENT, "%s has no image \"%.100s\"",
			a->name, a->tag);
	else
		bg_err_set(err, BG_ERR_REGISTRY_NOT_FOUND, ENOENT, "%s has %zu images: which one?",
			a->name, json_array_size(list));
	bg_err_hint(err, "name one as it was saved: docker-archive:FILE:NAME:TAG");
	return -ENOENT;
}

/* Newer archives name files by their digest; in older ones layers have that of the config. */
static int layer_digest(const struct docker *a, const char *path, const json_t *diff,
	char out[BG_OCI_DIGEST + 1], struct bg_err **err)
{
	const char *id = json_string_value(diff);

	if (!strncmp(path, BLOBS, strlen(BLOBS)) && strlen(path) == strlen(BLOBS) + BG_SHA256_HEX)
		snprintf(out, BG_OCI_DIGEST + 1, "sha256:%.64s", path + strlen(BLOBS));
	else
		snprintf(out, BG_OCI_DIGEST + 1, "%.71s", id ? id : "");
	return oci_digest_valid(out) ? 0 : wrong(a, "a layer has no sha256 digest", err);
}

static int list_layers(const struct docker *a, const json_t *image, const json_t *config,
	json_t *out, uint64_t *size, struct bg_err **err)
{
	const json_t *paths = json_object_get(image, "Layers"), *path;
	const json_t *diffs = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
	char digest[BG_OCI_DIGEST + 1];
	size_t i;

	if (json_array_size(paths) == 0 || json_array_size(paths) > BG_LAYERS_MAX ||
		json_array_size(paths) != json_array_size(diffs))
		return wrong(a, "it has no layers, too many, or others than its config says", err);
	json_array_foreach (paths, i, path) {
		const struct file *f = find(a, json_string_value(path));
		int r;

		if (!f)
			return wrong(a, "a layer is missing", err);
		r = layer_digest(a, json_string_value(path), json_array_get(diffs, i), digest, err);
		if (r < 0)
			return r;
		*size += f->size;
		json_array_append_new(
			out, json_pack("{s:s, s:I, s:I}", "digest", digest, "offset",
				     (json_int_t)f->offset, "size", (json_int_t)f->size));
	}
	return 0;
}

/* "HEX.json", "sha256:HEX", "blobs/sha256/HEX": its name says what it has. Any other says nothing.
 */
static bool is_named_otherwise(const char *path, const char *digest)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char named[BG_OCI_DIGEST + 1];

	assert(base); /* told to gcc, which warns under its sanitizers */
	if (strncmp(base, "sha256:", strlen("sha256:")) == 0)
		base += strlen("sha256:");
	snprintf(named, sizeof(named), "sha256:%.64s", base);
	if (base[BG_MIN(strlen(base), (size_t)BG_SHA256_HEX)] != '\0' &&
		!bg_streq(base + BG_SHA256_HEX, ".json"))
		return false;
	return oci_digest_valid(named) && !bg_streq(named, digest);
}

static int check_config(const struct docker *a, const json_t *image, json_t **ret, json_t **ret_env,
	char digest[BG_OCI_DIGEST + 1], struct bg_err **err)
{
	const char *path = json_string_value(json_object_get(image, "Config"));
	_free_ char *text = NULL;
	size_t len = 0;
	int r = path ? read_text(a, path, &text, &len, err)
		     : wrong(a, "its manifest.json names no config", err);

	if (r >= 0)
		r = manifest_digest(text, len, digest, err);
	if (r >= 0 && is_named_otherwise(path, digest))
		return bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
			"%s is damaged: its config %.100s has %s", a->name, path, digest);
	if (r >= 0)
		r = manifest_check_config(text, len, a->name, ret_env, err);
	if (r >= 0)
		*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	return r;
}

static int describe(const struct docker *a, json_t **ret, struct bg_err **err)
{
	_json_ json_t *list = NULL, *config = NULL, *env = NULL, *layers = json_array();
	char digest[BG_OCI_DIGEST + 1];
	_free_ char *text = NULL;
	const json_t *image = NULL;
	uint64_t size = 0;
	size_t len = 0;
	int r = read_text(a, "manifest.json", &text, &len, err);

	if (r < 0)
		return r;
	list = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	r = choose(a, list, &image, err);
	if (r >= 0)
		r = check_config(a, image, &config, &env, digest, err);
	if (r >= 0)
		r = list_layers(a, image, config, layers, &size, err);
	if (r >= 0)
		*ret = json_pack("{s:s, s:O, s:I, s:O*}", "digest", digest, "layers", layers,
			"size", (json_int_t)size, "env", env);
	return r;
}

int job_archive(struct job *job, json_t **ret, struct bg_err **err)
{
	struct docker a = {.job = job};
	int r = bg_json_need_str(job->params, "name", BG_ERR_WORKER, &a.name, err);

	if (r >= 0)
		r = bg_json_or_str(job->params, "tag", BG_ERR_WORKER, &a.tag, err);
	a.files = calloc(FILES_MAX, sizeof(*a.files));
	if (r >= 0 && !a.files)
		r = bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "%s: read it", a.name);
	if (r >= 0)
		r = scan(&a, err);
	if (r >= 0)
		r = describe(&a, ret, err);
	for (size_t i = 0; i < a.n; i++) {
		free(a.files[i].name);
		free(a.files[i].link);
	}
	free(a.files);
	return r;
}
