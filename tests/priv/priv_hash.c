/* SPDX-License-Identifier: ISC */
/* priv_hash: prints the hash of the verb table, for the tests in other languages. */
#include <inttypes.h>
#include <stdio.h>

#include "common/priv_proto.h"

int main(void)
{
	return printf("%016" PRIx64 "\n", priv_table_hash()) < 0;
}
