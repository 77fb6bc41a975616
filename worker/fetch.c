/* SPDX-License-Identifier: ISC */
/*
 * The fetch job: one file from a server or from a file:// URL, its digest taken on the way. What a
 * former try left in the destination is continued when a digest can tell whether it was right.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "common/sha256.h"
#include "worker/net.h"

#define CHUNK		(256 * 1024)
#define DEFAULT_STALL_S 60

struct fetch {
	struct job *job;
	const char *url, *sha256;
	int64_t max, stall_s;
	struct digest *digest;
	struct transfer t;
};

static int get_params(struct fetch *f, struct bg_err **err)
{
	int r = bg_json_need_str(f->job->params, "url", BG_ERR_WORKER, &f->url, err);

	f->max = (int64_t)BG_IMAGE_MAX;
	f->stall_s = DEFAULT_STALL_S;
	if (r >= 0)
		r = bg_json_or_str(f->job->params, "sha256", BG_ERR_WORKER, &f->sha256, err);
	if (r >= 0)
		r = bg_json_or_int(
			f->job->params, "max_size", BG_ERR_WORKER, 1, INT64_MAX, &f->max, err);
	if (r >= 0)
		r = bg_json_or_int(
			f->job->params, "stall_s", BG_ERR_WORKER, 1, 3600, &f->stall_s, err);
	if (r >= 0 && f->sha256 && !bg_sha256_valid(f->sha256))
		return bg_err_set(
			err, BG_ERR_WORKER, EINVAL, "\"sha256\" is not 64 digits of 0-9 and a-f");
	return r;
}

static int from_file(struct fetch *f, struct bg_err **err)
{
	_free_ uint8_t *buf = malloc(CHUNK);
	int from = f->job->fd[1], to = f->job->fd[0];
	struct stat st;

	if (!buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read %s", f->url);
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "%s is not a plain file", f->url);
	if (st.st_size > f->max)
		return bg_err_set(err, BG_ERR_NET_TOO_LARGE, EFBIG,
			"%s is larger than the %lld bytes that it may have", f->url,
			(long long)f->max);
	if (ftruncate(to, 0) < 0)
		return job_write_err(-errno, err, "empty the destination");
	f->job->total = (uint64_t)st.st_size;
	while (f->t.size < f->job->total) {
		ssize_t n = pread(
			from, buf, BG_MIN(CHUNK, f->job->total - f->t.size), (off_t)f->t.size);
		int r;

		if (n <= 0)
			return bg_err_sys(
				err, BG_ERR_WORKER, n < 0 ? errno : EIO, "read %s", f->url);
		digest_add(f->digest, buf, (size_t)n);
		r = pwrite(to, buf, (size_t)n, (off_t)f->t.size) == n ? 0 : errno ? -errno : -EIO;
		if (r < 0)
			return job_write_err(r, err, "write what %s has", f->url);
		f->t.size += (uint64_t)n;
		r = job_tick(f->job, f->t.size, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool matches(const struct fetch *f, char hex[DIGEST_HEX + 1])
{
	digest_hex(f->digest, hex);
	return !f->sha256 || bg_streq(hex, f->sha256);
}

static int empty(struct fetch *f, struct bg_err **err)
{
	if (ftruncate(f->job->fd[0], 0) < 0)
		return job_write_err(-errno, err, "empty the destination");
	digest_reset(f->digest);
	f->t.size = 0;
	return 0;
}

static int transfer(struct fetch *f, struct bg_err **err)
{
	_unref_(net) struct net *net = NULL;
	struct transfer *list = &f->t;
	int r = net_new(f->job, (unsigned)f->stall_s, &net, err);

	f->t.tries = 0;
	return r < 0 ? r : net_run(net, &list, 1, 1, 0, err);
}

static int from_server(struct fetch *f, struct bg_err **err)
{
	char hex[DIGEST_HEX + 1];
	uint64_t before;
	int r;

	f->t.url = f->t.name = f->url;
	f->t.fd = f->job->fd[0];
	f->t.digest = f->digest;
	f->t.max = (uint64_t)f->max;
	r = f->sha256 ? digest_add_file(f->digest, f->job, f->t.fd, &f->t.size, err)
		      : empty(f, err);
	if (r < 0)
		return r;
	before = f->t.size;
	if (before > 0 && matches(f, hex))
		return 0;
	if (before >= (uint64_t)f->max) {
		before = 0;
		r = empty(f, err);
	}
	if (r >= 0)
		r = transfer(f, err);
	/* The former try may have been of another version of the file. */
	if (r >= 0 && before > 0 && !matches(f, hex)) {
		r = empty(f, err);
		if (r >= 0)
			r = transfer(f, err);
	}
	return r;
}

static int finish(struct fetch *f, json_t **ret, struct bg_err **err)
{
	char hex[DIGEST_HEX + 1];

	if (!matches(f, hex)) {
		int r = empty(f, err); /* nothing to go on from */

		return r < 0 ? r
			     : bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
				       "%s has the sha256 %s, not %s as expected", f->url, hex,
				       f->sha256);
	}
	if (fdatasync(f->job->fd[0]) < 0)
		return job_write_err(-errno, err, "write what %s has", f->url);
	*ret = json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)f->t.size, "fetched",
		(json_int_t)f->t.fetched, "sha256", hex);
	return 0;
}

int job_fetch(struct job *job, json_t **ret, struct bg_err **err)
{
	struct fetch f = {.job = job};
	int r = get_params(&f, err);

	if (r >= 0)
		r = digest_new(&f.digest, err);
	if (r >= 0)
		r = strncmp(f.url, "file://", 7) == 0 ? from_file(&f, err) : from_server(&f, err);
	if (r >= 0)
		r = finish(&f, ret, err);
	transfer_clear(&f.t);
	digest_free(f.digest);
	return r;
}
