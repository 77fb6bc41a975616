/* SPDX-License-Identifier: ISC */
/* catalog.h: catalog.json, a list of kernels and images that somebody offers. docs/catalogs.md has the format. */
#ifndef BG_WORKER_CATALOG_H
#define BG_WORKER_CATALOG_H

#include "worker/job.h"

#define CATALOG_MAX (4 * 1024 * 1024) /* bytes */

/*
 * The entry of this kind and name for this machine: *ret is {"url", "sha256", "size", "description"}, NULL when there
 * is none. The whole catalog is checked first. base: the catalog's own URL, which relative ones are relative to.
 */
int catalog_find(const char *text, size_t len, const char *kind, const char *name, const char *base, json_t **ret,
	struct bg_err **err);

#endif
