/* SPDX-License-Identifier: ISC */
/* Root file systems, as the unpack job takes them. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_worker_job(job_unpack, "{\"size\":16777216,\"seed_size\":16777216}", 3, data, size);
	return 0;
}
