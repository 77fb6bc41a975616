/* SPDX-License-Identifier: ISC */
/* Documents of an OCI layout: the first byte says which one. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const params[] = {
		"{\"name\":\"oci:x\",\"kind\":\"top\"}",
		"{\"name\":\"oci:x:b\",\"kind\":\"top\",\"tag\":\"b\"}",
		"{\"name\":\"oci:x\",\"kind\":\"manifest\"}",
		"{\"name\":\"oci:x\",\"kind\":\"config\"}",
	};

	if (size > 0)
		fuzz_worker_job(
			job_layout, params[data[0] % ARRAY_SIZE(params)], 1, data + 1, size - 1);
	return 0;
}
