/* SPDX-License-Identifier: ISC */
/*
 * bundle.h: an image and its kernel as one file, out and in. The file is made and read by the worker
 * (common/job_table.def: pack_bundle, unpack_bundle); nothing here looks into it.
 */
#ifndef BG_DAEMON_ASSET_BUNDLE_H
#define BG_DAEMON_ASSET_BUNDLE_H

#include "common/err.h"

struct engine;
struct op;

enum { BUNDLE_FDS = 6 };
/* The members in the order of the worker's descriptors. */
extern const char *const bundle_member_names[BUNDLE_FDS];

/* path: absolute, not there yet. */
int image_export(struct engine *engine, const char *name, const char *path, struct op **ret,
	struct bg_err **err);

/* name NULL: made of the file's name. sha256 NULL: not known. */
struct image_import_request {
	const char *name;
	const char *from;    /* an absolute path, or a URL: file, http, https */
	const char *catalog; /* instead of from: the name that a catalog has it under */
	const char *sha256;
};
int image_import(struct engine *engine, const struct image_import_request *request, struct op **ret,
	struct bg_err **err);

#endif
