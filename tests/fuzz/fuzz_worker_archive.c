/* SPDX-License-Identifier: ISC */
/* Docker archives, as the archive job takes them. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_worker_job(job_archive, "{\"name\":\"docker-archive:x\"}", 1, data, size);
	return 0;
}
