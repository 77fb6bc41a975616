/* SPDX-License-Identifier: ISC */
/* Payloads of kernel images, as the vmlinux job takes them. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_worker_job(job_vmlinux, "{}", 2, data, size);
	return 0;
}
