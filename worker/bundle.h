/* SPDX-License-Identifier: ISC */
/*
 * bundle.h: the bundle that carries an image with its whole boot set: a tar (pax, GNU sparse 1.0) under zstd. Its first
 * member is manifest.json, the others are the files that the manifest lists, each once. docs/images.md has the format.
 */
#ifndef BG_WORKER_BUNDLE_H
#define BG_WORKER_BUNDLE_H

#include "worker/blob.h"

#define BUNDLE_FORMAT	    1
#define BUNDLE_MANIFEST	    "manifest.json"
#define BUNDLE_MANIFEST_MAX (64 * 1024)

/* In the order of the descriptors of the pack_bundle and unpack_bundle jobs, behind the bundle. */
enum bundle_file {
	BUNDLE_ROOTFS,
	BUNDLE_SEED,
	BUNDLE_KERNEL,
	BUNDLE_MODULES_CPIO,
	BUNDLE_MODULES_DISK,
	BUNDLE_INITRD,
	BUNDLE_FILES
};

/* The file of this member's name; BUNDLE_FILES when there is none. */
enum bundle_file bundle_file(const char *name);
const char *bundle_file_name(enum bundle_file file);

struct bundle_entry {
	bool listed;
	uint64_t size;
	char digest[DIGEST_HEX + 1]; /* as blob.h */
};

/*
 * Reads and checks a manifest: *ret is one with the fields that banger knows and no others. IMAGE_INVALID says what is
 * wrong with it.
 */
int bundle_manifest_parse(const char *text, size_t len,
	struct bundle_entry files[static BUNDLE_FILES], json_t **ret, struct bg_err **err);

#endif
