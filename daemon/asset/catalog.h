/* SPDX-License-Identifier: ISC */
/*
 * catalog.h: looks a kernel or an image up in the catalogs that config.toml names, one after the other. Catalogs are
 * fetched and read by the worker; nothing of them is kept.
 */
#ifndef BG_DAEMON_ASSET_CATALOG_H
#define BG_DAEMON_ASSET_CATALOG_H

#include <jansson.h>

#include "common/err.h"

struct engine;
struct catalog_lookup;

/* entry: {"url", "sha256", "size", "description"}. One of the two is set, both borrowed. */
typedef void (*catalog_fn)(const json_t *entry, struct bg_err *err, void *userdata);

/* kind: "kernel" or "image", a literal. CATALOG_NOT_FOUND when no catalog has it, or there are none. */
int catalog_look(struct engine *engine, const char *kind, const char *name, catalog_fn done,
	void *userdata, struct catalog_lookup **ret, struct bg_err **err);
/*
 * All of a kind that the catalogs have: done gets {"entries": [{"name", "size", "description", "catalog"}], "error": of the
 * first catalog that could not be read, or null}. Without catalogs it is empty.
 */
int catalog_list(struct engine *engine, const char *kind, catalog_fn done, void *userdata,
	struct catalog_lookup **ret, struct bg_err **err);
/* No call comes afterwards. */
void catalog_lookup_free(struct catalog_lookup *lookup);
BG_DEFINE_UNREF(catalog_lookup, struct catalog_lookup *, catalog_lookup_free)

#endif
