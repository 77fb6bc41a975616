/* SPDX-License-Identifier: ISC */
/*
 * manifest.h: what a registry or a layout says an image is made of: an index (one manifest per
 * platform) or an image manifest (config and layers), in OCI's or Docker's words. Foreign bytes in,
 * checked values out; never trusts a size or a digest that it did not check the shape of.
 */
#ifndef BG_WORKER_MANIFEST_H
#define BG_WORKER_MANIFEST_H

#include "common/oci_ref.h"
#include "worker/job.h"

#define MANIFEST_MAX (4 * MIB) /* bytes; registries refuse larger ones */
#define MANIFEST_ACCEPT                                                                            \
	"Accept: application/vnd.oci.image.index.v1+json, "                                        \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                              \
	"application/vnd.oci.image.manifest.v1+json, "                                             \
	"application/vnd.docker.distribution.manifest.v2+json"

struct descriptor {
	char digest[BG_OCI_DIGEST + 1];
	uint64_t size;
};

struct manifest {
	bool index; /* then only `next` is set: the manifest for this machine */
	struct descriptor next;
	struct descriptor config;
	struct descriptor layers[BG_LAYERS_MAX];
	size_t n_layers;
	uint64_t size; /* of all layers */
};

/*
 * type is the media type that it came with, or NULL. name is for messages. REGISTRY_INVALID,
 * REGISTRY_PLATFORM; *ret is the caller's, by free().
 */
int manifest_parse(const char *text, size_t len, const char *type, const char *name,
	struct manifest **ret, struct bg_err **err);
/*
 * Whether the image's config is for this machine: REGISTRY_PLATFORM when it is not. *ret_env is the
 * caller's: its environment as image_env_take leaves it, or NULL.
 */
int manifest_check_config(
	const char *text, size_t len, const char *name, json_t **ret_env, struct bg_err **err);
/* "sha256:HEX" of text. */
int manifest_digest(const char *text, size_t len, char out[BG_OCI_DIGEST + 1], struct bg_err **err);
/* NET_DIGEST when text has another digest than wanted. */
int manifest_check_digest(const char *text, size_t len, const struct descriptor *want,
	const char *name, struct bg_err **err);

#endif
