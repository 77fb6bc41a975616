/* SPDX-License-Identifier: ISC */
/*
 * The unpack_bundle job: a bundle, perhaps a stranger's, into the files of an image and its kernel.
 * Everything that the manifest says is checked against what comes: names, sizes, digests; and
 * that the rootfs is an ext4 file system and the kernel one that boots.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "worker/bundle.h"
#include "worker/bzimage.h"
#include "worker/source.h"

/* Superblock at 1024, s_magic at 56 in it (linux/fs/ext4/ext4.h). */
#define EXT_MAGIC_OFFSET (1024 + 56)

struct unpack {
	struct job *job;
	struct source *src;
	struct bundle_entry entry[BUNDLE_FILES];
	bool seen[BUNDLE_FILES];
	int64_t room; /* bytes of data that may be written yet */
};

_printf_(2, 3) static int bad(struct bg_err **err, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return bg_err_set(
		err, BG_ERR_IMAGE_INVALID, EBADMSG, "this is not a sound bundle: %s", what);
}

static int check_sha256(struct unpack *u, struct bg_err **err)
{
	_unref_(digest) struct digest *digest = NULL;
	const char *want = NULL;
	char hex[DIGEST_HEX + 1];
	uint64_t size;
	int r = bg_json_or_str(u->job->params, "sha256", BG_ERR_WORKER, &want, err);

	if (r < 0 || !want)
		return r;
	r = digest_new(&digest, err);
	if (r >= 0)
		r = digest_add_file(digest, u->job, u->job->fd[0], &size, err);
	if (r < 0)
		return r;
	digest_hex(digest, hex);
	return bg_streq(hex, want)
		       ? 0
		       : bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
				 "the bundle has the sha256 %s, not %s as expected", hex, want);
}

static const char *plain_name(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);

	return name && archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry)
		       ? name
		       : NULL;
}

static int read_manifest(struct unpack *u, json_t **ret, struct bg_err **err)
{
	struct archive_entry *entry;
	_free_ char *text = NULL;
	size_t len;
	int r = source_next(u->src, &entry, err);

	if (r < 0)
		return r;
	if (r == 0 || !bg_streq(plain_name(entry), BUNDLE_MANIFEST))
		return bad(err, "it does not begin with %s", BUNDLE_MANIFEST);
	r = source_slurp(u->src, BUNDLE_MANIFEST_MAX, &text, &len, err);
	return r < 0 ? r : bundle_manifest_parse(text, len, u->entry, ret, err);
}

static int write_failed(struct unpack *u, enum bundle_file f, int r, struct bg_err **err)
{
	if (r == -EINVAL)
		return bad(err, "%s goes back in itself", bundle_file_name(f));
	return job_write_err(r, err, "write %s", bundle_file_name(f));
}

static int check_room(const struct unpack *u, const struct blob_out *out, struct bg_err **err)
{
	return blob_out_data(out) <= (uint64_t)u->room
		       ? 0
		       : bg_err_set(err, BG_ERR_NO_SPACE, ENOSPC,
				 "the bundle needs more room than there is");
}

static int take_data(
	struct unpack *u, enum bundle_file f, struct blob_out *out, struct bg_err **err)
{
	uint64_t size = u->entry[f].size;
	const void *p;
	int64_t offset;
	size_t len;
	int r;

	while ((r = source_block(u->src, &p, &len, &offset, err)) > 0) {
		if (len == 0)
			continue;
		if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
			return bad(err, "%s is longer than its manifest says", bundle_file_name(f));
		r = blob_out_write(out, p, len, (uint64_t)offset);
		if (r < 0)
			return write_failed(u, f, r, err);
		r = check_room(u, out, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int take_member(struct unpack *u, enum bundle_file f, struct bg_err **err)
{
	_unref_(blob_out) struct blob_out *out = NULL;
	int fd = u->job->fd[1 + f], r;
	char hex[DIGEST_HEX + 1];

	r = blob_out_new(fd, &out, err);
	if (r >= 0)
		r = take_data(u, f, out, err);
	if (r < 0)
		return r;
	r = blob_out_end(out, u->entry[f].size, hex);
	if (r < 0)
		return write_failed(u, f, r, err);
	r = check_room(u, out, err);
	if (r < 0)
		return r;
	if (!bg_streq(hex, u->entry[f].digest))
		return bad(err, "%s is damaged: its digest is %s, not %s", bundle_file_name(f), hex,
			u->entry[f].digest);
	u->room -= (int64_t)blob_out_data(out);
	return 0;
}

static int take_members(struct unpack *u, struct bg_err **err)
{
	struct archive_entry *entry;
	int r;

	while ((r = source_next(u->src, &entry, err)) > 0) {
		const char *name = plain_name(entry);
		enum bundle_file f = bundle_file(name);

		if (f == BUNDLE_FILES || !u->entry[f].listed)
			return bad(err, "its member \"%.80s\" is not in the manifest",
				name ? name : "(a link, a directory or without a name)");
		if (u->seen[f])
			return bad(err, "%s is in it twice", name);
		if ((uint64_t)archive_entry_size(entry) != u->entry[f].size)
			return bad(err, "%s has another size than the manifest says", name);
		u->seen[f] = true;
		r = take_member(u, f, err);
		if (r < 0)
			return r;
	}
	for (int i = 0; r >= 0 && i < BUNDLE_FILES; i++)
		if (u->entry[i].listed && !u->seen[i])
			return bad(err, "%s is missing", bundle_file_name((enum bundle_file)i));
	return r;
}

/* The digests only say that the bundle is whole, not that it makes sense. */
static int check_kinds(struct unpack *u, const json_t *manifest, struct bg_err **err)
{
	const json_t *kernel = json_object_get(manifest, "kernel");
	_free_ uint8_t *head = NULL;
	uint8_t magic[2];
	bool elf;
	ssize_t n;

	if (pread(u->job->fd[1 + BUNDLE_ROOTFS], magic, 2, EXT_MAGIC_OFFSET) != 2 ||
		magic[0] != 0x53 || magic[1] != 0xef)
		return bad(err, "its rootfs is not an ext4 file system");
	if (!kernel)
		return 0;
	head = malloc(KERNEL_HEAD);
	n = head ? pread(u->job->fd[1 + BUNDLE_KERNEL], head, KERNEL_HEAD, 0) : -1;
	if (n < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "read the kernel");
	elf = bg_streq(json_string_value(json_object_get(kernel, "format")), "elf");
	return kernel_format(head, (size_t)n) == (elf ? KERNEL_ELF : KERNEL_BZIMAGE)
		       ? 0
		       : bad(err, "its kernel is not what the manifest says");
}

static int unpack(struct unpack *u, json_t **ret, struct bg_err **err)
{
	_json_ json_t *manifest = NULL;
	int r;

	u->room = (int64_t)BG_IMAGE_MAX;
	r = bg_json_or_int(u->job->params, "room", BG_ERR_WORKER, 0, INT64_MAX, &u->room, err);
	for (int i = 0; r >= 0 && i < BUNDLE_FILES; i++)
		if (ftruncate(u->job->fd[1 + i], 0) < 0)
			return job_write_err(-errno, err, "empty the outputs");
	if (r >= 0)
		r = check_sha256(u, err);
	if (r >= 0)
		r = source_open_fd(u->job, u->job->fd[0], SOURCE_TAR, &u->src, err);
	if (r >= 0)
		r = read_manifest(u, &manifest, err);
	if (r >= 0)
		r = take_members(u, err);
	if (r >= 0)
		r = check_kinds(u, manifest, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:O}", "manifest", manifest);
	return 0;
}

int job_unpack_bundle(struct job *job, json_t **ret, struct bg_err **err)
{
	struct unpack u = {.job = job};
	int r = unpack(&u, ret, err);

	source_free(u.src);
	return r;
}
