/* SPDX-License-Identifier: ISC */
/* worker_job.h: runs a handler of banger-worker in this process on one input; for fuzzers. */
#ifndef BG_TESTS_FUZZ_WORKER_JOB_H
#define BG_TESTS_FUZZ_WORKER_JOB_H

#include "worker/job.h"

/*
 * Input and n - 1 outputs are memory files that are reused. Aborts when the handler breaks its
 * contract: a result and no error, or an error and no result.
 */
void fuzz_worker_job(int (*run)(struct job *job, json_t **ret, struct bg_err **err),
	const char *params, size_t n, const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

/* The same with several inputs, in the descriptors from `first` on. */
void fuzz_worker_inputs(int (*run)(struct job *job, json_t **ret, struct bg_err **err),
	const char *params, size_t n, size_t first, const struct fuzz_input *in, size_t n_in);

#endif
