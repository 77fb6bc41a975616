/* SPDX-License-Identifier: ISC */
/* config.toml: any bytes give a config or an error that names a line. */
#include <assert.h>

#include "host/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_unref_(config) struct config *config = NULL;
	_err_ struct bg_err *err = NULL;
	int r = config_parse("c.toml", (const char *)data, size, &config, &err);

	assert((r >= 0) == (config != NULL) && (r < 0) == (err != NULL));
	return 0;
}
