/* SPDX-License-Identifier: ISC */
/* Manifests of bundles: any bytes are refused, or list a rootfs and have bounded sizes. */
#include "tests/fuzz/fuzz.h"
#include "worker/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle_entry files[BUNDLE_FILES];
	_json_ json_t *manifest = NULL;
	_err_ struct bg_err *err = NULL;
	int r = bundle_manifest_parse((const char *)data, size, files, &manifest, &err);

	if ((r < 0) != (err != NULL) || (r < 0) == (manifest != NULL))
		abort();
	if (r < 0)
		return 0;
	if (!files[BUNDLE_ROOTFS].listed || !json_object_get(manifest, "image") ||
		files[BUNDLE_KERNEL].listed != (json_object_get(manifest, "kernel") != NULL))
		abort();
	for (int i = 0; i < BUNDLE_FILES; i++)
		if (files[i].listed &&
			(files[i].size == 0 || strlen(files[i].digest) != DIGEST_HEX))
			abort();
	return 0;
}
