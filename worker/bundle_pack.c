/* SPDX-License-Identifier: ISC */
/*
 * The pack_bundle job: the files of an image and its kernel become one archive. Each file is read
 * twice: for its digest and its holes, which the manifest and the headers want first, then for its
 * data.
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "worker/bundle.h"

#define CHUNK (256 * 1024)

struct member {
	int fd;
	bool wanted;
	uint64_t size;
	char digest[DIGEST_HEX + 1];
	struct blob_map map;
};

struct pack {
	struct job *job;
	struct member member[BUNDLE_FILES];
	struct archive *a;
	struct digest *digest;	/* of the whole bundle */
	struct bg_err *failure; /* what the output met: it counts more than libarchive's words */
	uint64_t done, bytes;
	uint8_t *buf;
};

static int choose_files(struct pack *p, struct bg_err **err)
{
	const json_t *list = NULL;

	if (bg_json_get_array(p->job->params, "files", &list) < 0)
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "\"files\" is not a list");
	for (size_t i = 0; i < json_array_size(list); i++) {
		enum bundle_file f = bundle_file(json_string_value(json_array_get(list, i)));

		if (f == BUNDLE_FILES)
			return bg_err_set(err, BG_ERR_WORKER, EINVAL, "no such file in bundles");
		p->member[f].wanted = true;
		p->member[f].fd = p->job->fd[1 + f];
	}
	return 0;
}

/* The file's real bytes, twice: that is what there is to do. */
static void count_work(struct pack *p)
{
	struct stat st;

	p->job->unit = "bytes";
	for (int i = 0; i < BUNDLE_FILES; i++)
		if (p->member[i].wanted && fstat(p->member[i].fd, &st) == 0)
			p->job->total +=
				2 * BG_MIN((uint64_t)st.st_size, (uint64_t)st.st_blocks * 512);
}

static int read_all(struct pack *p, struct bg_err **err)
{
	for (int i = 0; i < BUNDLE_FILES; i++) {
		struct member *m = &p->member[i];
		struct stat st;
		int r;

		if (!m->wanted)
			continue;
		r = blob_read(p->job, m->fd, bundle_file_name((enum bundle_file)i), m->digest,
			&m->map, &p->done, err);
		if (r < 0)
			return r;
		if (fstat(m->fd, &st) < 0)
			return bg_err_sys(err, BG_ERR_WORKER, errno, "look at a file");
		m->size = (uint64_t)st.st_size;
	}
	return 0;
}

static json_t *files_json(const struct pack *p)
{
	json_t *files = json_object();

	for (int i = 0; i < BUNDLE_FILES; i++)
		if (p->member[i].wanted)
			json_object_set_new(files, bundle_file_name((enum bundle_file)i),
				json_pack("{s:I, s:s}", "size", (json_int_t)p->member[i].size,
					"digest", p->member[i].digest));
	return files;
}

/* What the daemon says of the image, with the files' digests. Checked as an import will. */
static int manifest_text(struct pack *p, char **ret, struct bg_err **err)
{
	struct bundle_entry files[BUNDLE_FILES];
	_json_ json_t *manifest = NULL, *checked = NULL;
	const json_t *given = NULL;
	_free_ char *text = NULL;
	int r;

	if (bg_json_get_obj(p->job->params, "manifest", &given) < 0)
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "\"manifest\" is not an object");
	manifest = json_pack("{s:i, s:s}", "format", BUNDLE_FORMAT, "arch", "x86_64");
	json_object_update(manifest, (json_t *)(uintptr_t)given);
	json_object_set_new(manifest, "files", files_json(p));
	text = json_dumps(manifest, JSON_INDENT(2));
	if (!text)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "write the manifest");
	r = bundle_manifest_parse(text, strlen(text), files, &checked, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}

static la_ssize_t write_out(struct archive *a, void *data, const void *buf, size_t len)
{
	struct pack *p = data;
	int r = bg_write_all(p->job->fd[0], buf, len);

	if (r < 0) {
		job_write_err(r, &p->failure, "write the bundle");
		archive_set_error(a, -r, "output failed");
		return -1;
	}
	digest_add(p->digest, buf, len);
	p->bytes += len;
	return (la_ssize_t)len;
}

static int archive_failed(struct pack *p, struct bg_err **err)
{
	const char *why = archive_error_string(p->a);

	if (!p->failure)
		return bg_err_set(err, BG_ERR_WORKER, EIO, "write the bundle: %s",
			why ? why : "libarchive gives no reason");
	*err = TAKE_PTR(p->failure);
	return -EIO;
}

static int open_archive(struct pack *p, struct bg_err **err)
{
	if (ftruncate(p->job->fd[0], 0) < 0)
		return job_write_err(-errno, err, "empty the bundle");
	p->a = archive_write_new();
	if (!p->a)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "write the bundle");
	if (archive_write_set_format_pax(p->a) != ARCHIVE_OK ||
		archive_write_add_filter_zstd(p->a) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(p->a, 1) != ARCHIVE_OK ||
		archive_write_open(p->a, p, NULL, write_out, NULL) != ARCHIVE_OK)
		return archive_failed(p, err);
	return 0;
}

/* Nothing of the moment or the user: the same image gives the same bundle. */
static int begin_member(struct pack *p, const char *name, uint64_t size, const struct blob_map *map,
	struct bg_err **err)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	if (!e)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "write the bundle");
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, 0, 0);
	for (size_t i = 0; map && i < map->n; i++)
		archive_entry_sparse_add_entry(
			e, (la_int64_t)map->range[i].at, (la_int64_t)map->range[i].len);
	r = archive_write_header(p->a, e);
	archive_entry_free(e);
	return r == ARCHIVE_OK ? 0 : archive_failed(p, err);
}

static int put(struct pack *p, const void *buf, size_t len, struct bg_err **err)
{
	return archive_write_data(p->a, buf, len) == (la_ssize_t)len ? 0 : archive_failed(p, err);
}

/* libarchive wants a hole's zeros too, counts them and leaves them out. */
static int put_hole(struct pack *p, uint64_t len, struct bg_err **err)
{
	int r = 0;

	memset(p->buf, 0, CHUNK);
	for (; len > 0 && r >= 0; len -= BG_MIN(len, (uint64_t)CHUNK))
		r = put(p, p->buf, BG_MIN(len, (uint64_t)CHUNK), err);
	return r;
}

static int put_range(
	struct pack *p, const struct member *m, struct blob_range range, struct bg_err **err)
{
	while (range.len > 0) {
		ssize_t n =
			pread(m->fd, p->buf, BG_MIN(range.len, (uint64_t)CHUNK), (off_t)range.at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bg_err_sys(err, BG_ERR_WORKER, n < 0 ? errno : EIO, "read a file");
		r = put(p, p->buf, (size_t)n, err);
		p->done += (uint64_t)n;
		if (r >= 0)
			r = job_tick(p->job, p->done, NULL, err);
		if (r < 0)
			return r;
		range.at += (uint64_t)n;
		range.len -= (uint64_t)n;
	}
	return 0;
}

static int put_member(struct pack *p, enum bundle_file f, struct bg_err **err)
{
	const struct member *m = &p->member[f];
	uint64_t at = 0;
	int r = begin_member(p, bundle_file_name(f), m->size, &m->map, err);

	for (size_t i = 0; r >= 0 && i < m->map.n; i++) {
		r = put_hole(p, m->map.range[i].at - at, err);
		if (r >= 0)
			r = put_range(p, m, m->map.range[i], err);
		at = m->map.range[i].at + m->map.range[i].len;
	}
	return r < 0 ? r : put_hole(p, m->size - at, err);
}

static int put_all(struct pack *p, struct bg_err **err)
{
	_free_ char *text = NULL;
	int r = manifest_text(p, &text, err);

	if (r >= 0)
		r = open_archive(p, err);
	if (r >= 0)
		r = begin_member(p, BUNDLE_MANIFEST, strlen(text), NULL, err);
	if (r >= 0)
		r = put(p, text, strlen(text), err);
	for (int i = 0; r >= 0 && i < BUNDLE_FILES; i++)
		if (p->member[i].wanted)
			r = put_member(p, (enum bundle_file)i, err);
	if (r >= 0 && archive_write_close(p->a) != ARCHIVE_OK)
		r = archive_failed(p, err);
	if (r >= 0 && fdatasync(p->job->fd[0]) < 0)
		r = job_write_err(-errno, err, "write the bundle");
	return r;
}

static int pack(struct pack *p, json_t **ret, struct bg_err **err)
{
	char hex[DIGEST_HEX + 1];
	int r = choose_files(p, err);

	if (r < 0)
		return r;
	p->buf = malloc(CHUNK);
	if (!p->buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "write the bundle");
	count_work(p);
	r = digest_new(&p->digest, err);
	if (r >= 0)
		r = read_all(p, err);
	if (r >= 0)
		r = put_all(p, err);
	if (r < 0)
		return r;
	digest_hex(p->digest, hex);
	*ret = json_pack("{s:I, s:s}", "bytes", (json_int_t)p->bytes, "sha256", hex);
	return 0;
}

int job_pack_bundle(struct job *job, json_t **ret, struct bg_err **err)
{
	struct pack p = {.job = job};
	int r = pack(&p, ret, err);

	if (p.a)
		(void)archive_write_free(p.a);
	for (int i = 0; i < BUNDLE_FILES; i++)
		blob_map_free(&p.member[i].map);
	digest_free(p.digest);
	bg_err_free(p.failure);
	free(p.buf);
	return r;
}
