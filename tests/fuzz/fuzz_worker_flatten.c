/* SPDX-License-Identifier: ISC */
/* Two layers of a container image: two bytes say where the second begins. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/worker_job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char params[] = "{\"size\":16777216,\"seed_size\":16777216,\"layers\":[\"a\","
				     "\"b\"],\"max_unpacked\":67108864}";
	struct fuzz_input in[2];
	size_t split;

	if (size < 2)
		return 0;
	split = BG_MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2);
	in[0] = (struct fuzz_input){data + 2, split};
	in[1] = (struct fuzz_input){data + 2 + split, size - 2 - split};
	fuzz_worker_inputs(job_flatten, params, 4, 2, in, 2);
	return 0;
}
