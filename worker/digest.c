/* SPDX-License-Identifier: ISC */
/* See digest.h. OpenSSL's, since it uses the processor's instructions for it and libcurl brings it
 * along. */
#include "worker/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>

#define CHUNK (256 * 1024)

struct digest {
	EVP_MD_CTX *ctx;
};

int digest_new(struct digest **ret, struct bg_err **err)
{
	_unref_(digest) struct digest *d = calloc(1, sizeof(*d));

	if (d)
		d->ctx = EVP_MD_CTX_new();
	if (!d || !d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "start a digest");
	*ret = TAKE_PTR(d);
	return 0;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void digest_reset(struct digest *d)
{
	int ok = EVP_DigestInit_ex(d->ctx, NULL, NULL);

	assert(ok == 1);
}

void digest_add(struct digest *d, const void *p, size_t len)
{
	int ok = EVP_DigestUpdate(d->ctx, p, len);

	assert(ok == 1);
}

int digest_add_file(
	struct digest *d, struct job *job, int fd, uint64_t *ret_size, struct bg_err **err)
{
	_free_ uint8_t *buf = malloc(CHUNK);
	uint64_t at = 0;
	int r;

	if (!buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "hash a file");
	for (;;) {
		ssize_t n = pread(fd, buf, CHUNK, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bg_err_sys(err, BG_ERR_WORKER, errno, "read what is there already");
		if (n == 0)
			break;
		digest_add(d, buf, (size_t)n);
		at += (uint64_t)n;
		r = job_tick(job, at, NULL, err);
		if (r < 0)
			return r;
	}
	*ret_size = at;
	return 0;
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX + 1])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	uint8_t sum[DIGEST_HEX / 2];
	int ok = copy && EVP_MD_CTX_copy_ex(copy, d->ctx) == 1 &&
		 EVP_DigestFinal_ex(copy, sum, NULL) == 1;

	assert(ok);
	EVP_MD_CTX_free(copy);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}
