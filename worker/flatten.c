/* SPDX-License-Identifier: ISC */
/*
 * The flatten job: the layers of a container image, applied one on the other into the two images
 * of rootfs.h. One pass, bottom to top: what an upper layer replaces or removes gives its
 * blocks back, for the next file to take. See "Layers" in docs/worker.md for why.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "common/oci_ref.h"
#include "worker/rootfs.h"

#define WHITEOUT ".wh."
#define OPAQUE	 ".wh..wh..opq"
#define AUFS	 ".wh..wh." /* the union's own files in very old images */

#define FIXED_FDS 2

struct flatten {
	struct job *job;
	struct rootfs *out;
	const json_t *names;
	uint64_t offset[BG_LAYERS_MAX], size[BG_LAYERS_MAX]; /* of each layer in its file */
	bool check; /* the names are digests that the layers must have */
	size_t layers;
	int64_t max_unpacked;
	uint64_t unpacked; /* bytes of the layers before this one */
};

static int get_params(struct flatten *f, struct bg_err **err)
{
	int r;

	f->max_unpacked = (int64_t)BG_IMAGE_MAX;
	r = bg_json_or_int(f->job->params, "max_unpacked", BG_ERR_WORKER, 1, (int64_t)BG_IMAGE_MAX,
		&f->max_unpacked, err);
	if (r >= 0)
		r = bg_json_or_bool(f->job->params, "check", BG_ERR_WORKER, &f->check, err);
	if (r < 0)
		return r;
	f->layers = f->job->n_fds - FIXED_FDS;
	f->names = json_object_get(f->job->params, "layers");
	if (!json_is_array(f->names) || f->layers == 0 || json_array_size(f->names) != f->layers)
		return bg_err_set(err, BG_ERR_WORKER, EINVAL,
			"\"layers\" is not a list of one name for each of %zu layers", f->layers);
	for (size_t i = 0; i < f->layers; i++)
		if (!json_is_string(json_array_get(f->names, i)))
			return bg_err_set(err, BG_ERR_WORKER, EINVAL,
				"the name of layer %zu is not a string", i);
	return 0;
}

static int take_range(struct flatten *f, size_t i, uint64_t file_size, struct bg_err **err)
{
	const json_t *range = json_array_get(json_object_get(f->job->params, "ranges"), i);
	int64_t offset = 0, size = (int64_t)file_size;
	int r = 0;

	if (range) {
		r = bg_json_need_int(range, "offset", BG_ERR_WORKER, 0, size, &offset, err);
		if (r >= 0)
			r = bg_json_need_int(range, "size", BG_ERR_WORKER, 0,
				(int64_t)file_size - offset, &size, err);
	}
	f->offset[i] = (uint64_t)offset;
	f->size[i] = (uint64_t)size;
	return r;
}

/* The same blob may come twice, and on one open file: each is read from its start, by itself. */
static int look_at_layers(struct flatten *f, struct bg_err **err)
{
	struct stat st;
	int r;

	for (size_t i = 0; i < f->layers; i++) {
		if (fstat(f->job->fd[FIXED_FDS + i], &st) < 0 || !S_ISREG(st.st_mode))
			return bg_err_set(err, BG_ERR_WORKER, EINVAL,
				"layer %zu of %zu is not a plain file", i + 1, f->layers);
		r = take_range(f, i, (uint64_t)st.st_size, err);
		if (r < 0)
			return r;
		f->job->total += f->size[i];
	}
	return 0;
}

/* The last component of path, which ends before trailing slashes. */
static const char *leaf_of(const char *path, size_t *ret_len)
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	*ret_len = end - start;
	return path + start;
}

static bool starts(const char *s, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(s, prefix, strlen(prefix)) == 0;
}

/* Removes what the marker at path names: leaf is its last component. */
static int whiteout(
	struct flatten *f, const char *path, const char *leaf, size_t len, struct bg_err **err)
{
	size_t dir = (size_t)(leaf - path);
	_free_ char *victim = NULL;
	const char *name = leaf + strlen(WHITEOUT);

	len -= strlen(WHITEOUT);
	if (starts(leaf, len + strlen(WHITEOUT), AUFS)) {
		if (len + strlen(WHITEOUT) != strlen(OPAQUE) ||
			memcmp(leaf, OPAQUE, strlen(OPAQUE)) != 0)
			return 0;
		len = 0;
	} else if (len == 0 || (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))) {
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBADMSG,
			"the whiteout \"%.200s\" names no file", path);
	}
	if (asprintf(&victim, "%.*s%.*s", (int)dir, path, (int)len, name) < 0) {
		victim = NULL;
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "apply a layer");
	}
	return rootfs_whiteout(f->out, victim, len > 0, err);
}

static int take_entry(
	struct flatten *f, struct source *src, struct archive_entry *entry, struct bg_err **err)
{
	const char *path, *leaf;
	size_t len;
	int r = entry_path(src, entry, &path, err);

	if (r < 0)
		return r;
	if (starts(path, strlen(path), AUFS) && strchr(path, '/'))
		return 0;
	leaf = leaf_of(path, &len);
	if (starts(leaf, len, WHITEOUT))
		return whiteout(f, path, leaf, len, err);
	return rootfs_take(f->out, src, entry, err);
}

/* What hard links made us copy counts as well: a few bytes of a layer can ask for gigabytes. */
static void limit_unpacked(struct flatten *f, struct source *src)
{
	uint64_t max = (uint64_t)f->max_unpacked, spent = f->unpacked + rootfs_copied(f->out);

	source_set_max(src, max - BG_MIN(spent, max));
}

/* The digest of the layer without its compression. */
static int unpacked_digest(struct flatten *f, size_t i, struct digest *d, struct bg_err **err)
{
	_unref_(source) struct source *src = NULL;
	struct archive_entry *entry;
	int fd = f->job->fd[FIXED_FDS + i], r;
	const void *buf;
	int64_t offset;
	size_t len;

	if (lseek(fd, (off_t)f->offset[i], SEEK_SET) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read it");
	r = source_open_range(f->job, fd, f->size[i], SOURCE_RAW, NULL, &src, err);
	if (r < 0)
		return r;
	source_set_max(src, (uint64_t)f->max_unpacked);
	r = source_next(src, &entry, err);
	while (r > 0 && (r = source_block(src, &buf, &len, &offset, err)) > 0)
		digest_add(d, buf, len);
	return r;
}

/* In an archive some name layers by what they are packed, others by what they are unpacked. */
static int check_digest(
	struct flatten *f, size_t i, struct source *src, struct digest *d, struct bg_err **err)
{
	const char *want = json_string_value(json_array_get(f->names, i));
	char has[BG_OCI_DIGEST + 1] = "sha256:", unpacked[BG_OCI_DIGEST + 1] = "sha256:";
	_unref_(digest) struct digest *other = NULL;
	int r = source_drain(src, err);

	if (r < 0)
		return r;
	digest_hex(d, has + strlen("sha256:"));
	if (bg_streq(has, want))
		return 0;
	if (source_is_compressed(src)) {
		r = digest_new(&other, err);
		if (r >= 0)
			r = unpacked_digest(f, i, other, err);
		if (r < 0)
			return r;
		digest_hex(other, unpacked + strlen("sha256:"));
	}
	return bg_streq(unpacked, want) ? 0
					: bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
						  "it is damaged: its bytes have %s", has);
}

static int take_layer(struct flatten *f, size_t i, struct bg_err **err)
{
	_unref_(source) struct source *src = NULL;
	struct archive_entry *entry;
	_unref_(digest) struct digest *digest = NULL;
	int fd = f->job->fd[FIXED_FDS + i];
	int r = lseek(fd, (off_t)f->offset[i], SEEK_SET) < 0 ? -errno : 0;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_WORKER, -r, "read it");
	r = f->check ? digest_new(&digest, err) : 0;
	if (r >= 0)
		r = source_open_range(f->job, fd, f->size[i], SOURCE_TAR, digest, &src, err);
	if (r < 0)
		return r;
	rootfs_layer(f->out, (unsigned)i + 1);
	for (;;) {
		limit_unpacked(f, src);
		r = source_next(src, &entry, err);
		if (r <= 0)
			break;
		r = take_entry(f, src, entry, err);
		if (r < 0)
			return r;
	}
	f->unpacked += source_unpacked(src);
	if (r >= 0 && digest)
		r = check_digest(f, i, src, digest, err);
	return r;
}

static int take_layers(struct flatten *f, struct bg_err **err)
{
	for (size_t i = 0; i < f->layers; i++) {
		int r = take_layer(f, i, err);

		f->job->before += f->size[i];
		if (r < 0) {
			bg_err_context(err, "layer %zu of %zu (%.100s)", i + 1, f->layers,
				json_string_value(json_array_get(f->names, i)));
			return r;
		}
	}
	if (rootfs_entries(f->out) == 0)
		return bg_err_set(
			err, BG_ERR_IMAGE_INVALID, EBADMSG, "no layer of the image has a file");
	return 0;
}

int job_flatten(struct job *job, json_t **ret, struct bg_err **err)
{
	_unref_(rootfs) struct rootfs *out = NULL;
	struct flatten f = {.job = job};
	int r = get_params(&f, err);

	if (r >= 0)
		r = look_at_layers(&f, err);
	if (r >= 0)
		r = rootfs_new(job, job->fd[0], job->fd[1], true, &out, err);
	if (r < 0)
		return r;
	f.out = out;
	r = take_layers(&f, err);
	return r < 0 ? r : rootfs_finish(out, ret, err);
}
