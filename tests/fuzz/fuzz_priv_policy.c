/* SPDX-License-Identifier: ISC */
/* The reader of privhelper.conf on any bytes: what it accepts lies within the bounds. */
#include "privhelper/policy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy p;

	if (policy_parse((const char *)data, size, &p) < 0)
		return 0;
	if (p.slots_per_user < 1 || p.slots_per_user > BG_SLOTS_MAX || p.max_users < 1 ||
		p.max_users > BG_PRIV_USERS_MAX || (p.pool & 0xffff) != 0 || p.pool >> 24 == 127 ||
		p.pool >> 24 == 0 || p.pool >> 24 >= 224)
		abort();
	return 0;
}
