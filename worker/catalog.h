/* SPDX-License-Identifier: ISC */
/* catalog.h: catalog.json, a list of kernels and images that somebody offers. docs/catalogs.md has the format. */
#ifndef BG_WORKER_CATALOG_H
#define BG_WORKER_CATALOG_H

#include "worker/job.h"

#define CATALOG_MAX	  (4 * 1024 * 1024) /* bytes */
#define CATALOG_SHOWN_MAX 100		    /* entries of a list: an answer is one datagram */

/*
 * The entry of this kind and name for this machine: *ret is {"url", "sha256", "size", "description"}, NULL when there
 * is none. The whole catalog is checked first. base: the catalog's own URL, which relative ones are relative to.
 */
int catalog_find(const char *text, size_t len, const char *kind, const char *name, const char *base,
	json_t **ret, struct bg_err **err);
/* All of this kind for this machine, CATALOG_SHOWN_MAX at most: *ret is a list of {"name", "size", "description"}. */
int catalog_list(const char *text, size_t len, const char *kind, json_t **ret, struct bg_err **err);

#endif
