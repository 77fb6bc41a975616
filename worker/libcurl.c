/* SPDX-License-Identifier: ISC */
/* See libcurl.h. */
#include "worker/libcurl.h"

#include <dlfcn.h>

#define SONAME "libcurl.so.4"

struct libcurl lc;

static int load(void *lib, const char *name, void *slot)
{
	void *call = dlsym(lib, name);

	memcpy(slot, &call, sizeof(call));
	return call ? 0 : -ENOSYS;
}

int libcurl_load(struct bg_err **err)
{
	void *lib = dlopen(SONAME, RTLD_NOW);
	int r = lib ? 0 : -ENOENT;

#define X(call)                                                                                    \
	if (r >= 0)                                                                                \
		r = load(lib, #call, &lc.call);
	LIBCURL_CALLS(X)
#undef X
	if (r >= 0)
		return 0;
	r = bg_err_set(err, BG_ERR_TOOL_MISSING, -r, "%s cannot be loaded: %s", SONAME, dlerror());
	bg_err_hint(err, "`sudo apt install libcurl4`");
	return r;
}
