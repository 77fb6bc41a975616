/* SPDX-License-Identifier: ISC */
/* Catalogs: any bytes are refused, or give an entry whose parts are all there, or none. */
#include "tests/fuzz/fuzz.h"
#include "worker/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_json_ json_t *entry = NULL, *entries = NULL;
	_err_ struct bg_err *err = NULL, *other = NULL;
	const char *url = NULL, *sha256 = NULL;
	int r = catalog_find(
		(const char *)data, size, "kernel", "k", "https://h/c/catalog.json", &entry, &err);

	if ((r < 0) != (err != NULL) || (r < 0 && entry))
		abort();
	if ((catalog_list((const char *)data, size, "image", &entries, &other) < 0) != (r < 0) &&
		!err)
		abort();
	if (json_array_size(entries) > CATALOG_SHOWN_MAX)
		abort();
	if (!entry)
		return 0;
	if (bg_json_get_str(entry, "url", &url) < 0 || !strstr(url, "://") ||
		bg_json_get_str(entry, "sha256", &sha256) < 0 || strlen(sha256) != 64)
		abort();
	return 0;
}
