/* SPDX-License-Identifier: ISC */
/* The request of a session: any bytes are refused, or are what encoding the result gives. */
#include "common/agent_exec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ uint8_t *again = NULL;
	_free_ void *memory = NULL;
	struct bg_exec x;
	size_t len = 0;

	if (bg_exec_decode(data, size, &x, &memory) < 0)
		return 0;
	if (bg_exec_encode(&x, &again, &len) < 0 || len != size || memcmp(again, data, len) != 0)
		abort();
	return 0;
}
