/* SPDX-License-Identifier: ISC */
/* digest.h: SHA-256 of what goes past, and of what a file has already. */
#ifndef BG_WORKER_DIGEST_H
#define BG_WORKER_DIGEST_H

#include "worker/job.h"

#define DIGEST_HEX 64

struct digest;

int digest_new(struct digest **ret, struct bg_err **err);
void digest_free(struct digest *d);
BG_DEFINE_UNREF(digest, struct digest *, digest_free)

/* As if nothing had been added. */
void digest_reset(struct digest *d);
void digest_add(struct digest *d, const void *p, size_t len);
/* What fd has from its start to its end; *ret_size is that. Can be cancelled; reports as the job's progress. */
int digest_add_file(
	struct digest *d, struct job *job, int fd, uint64_t *ret_size, struct bg_err **err);
/* Of all so far, in lower case; more may be added afterwards. */
void digest_hex(const struct digest *d, char out[DIGEST_HEX + 1]);

#endif
