/* SPDX-License-Identifier: ISC */
/* Kernel modules, as the kernel job reads their .modinfo. */
#include "tests/fuzz/fuzz.h"
#include "worker/depmod.h"
#include "worker/modinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_unref_(depmod) struct depmod *d = NULL;
	struct depmod_list list = {};
	const char *info, *at = NULL;
	size_t len;

	if (depmod_new(&d) < 0)
		abort();
	if (modinfo_find(data, size, &info, &len) == 0)
		while (modinfo_next(info, len, "alias", &at))
			;
	(void)depmod_add(d, "kernel/a.ko", data, size, NULL);
	(void)depmod_add(d, "kernel/b-c.ko", data, size, NULL);
	(void)depmod_resolve(d, "a", 1, &list);
	free(list.v);
	return 0;
}
