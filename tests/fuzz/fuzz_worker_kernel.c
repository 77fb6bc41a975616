/* SPDX-License-Identifier: ISC */
/* Packages and bare kernel images, as the kernel job takes them. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_worker_job(job_kernel, "{\"name\":\"x\"}", 5, data, size);
	return 0;
}
