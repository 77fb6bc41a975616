/* SPDX-License-Identifier: ISC */
/* See manifest.h. Media types: OCI image specification 1.1; Docker's "image manifest v2, schema 2".
 */
#include "worker/manifest.h"

#include <stdio.h>

#include "common/image_env.h"
#include "worker/digest.h"

#define DOCKER "application/vnd.docker."
#define OCI    "application/vnd.oci.image."
#define OS     "linux"
#define ARCH   "amd64"
#define SHOWN  8 /* platforms named in a message */

static const char *const index_types[] = {
	OCI "index.v1+json", DOCKER "distribution.manifest.list.v2+json"};
static const char *const image_types[] = {
	OCI "manifest.v1+json", DOCKER "distribution.manifest.v2+json"};
static const char *const layer_types[] = {OCI "layer.v1.tar", OCI "layer.v1.tar+gzip",
	OCI "layer.v1.tar+zstd", OCI "layer.nondistributable.v1.tar",
	OCI "layer.nondistributable.v1.tar+gzip", OCI "layer.nondistributable.v1.tar+zstd",
	DOCKER "image.rootfs.diff.tar", DOCKER "image.rootfs.diff.tar.gzip",
	DOCKER "image.rootfs.diff.tar.zstd", DOCKER "image.rootfs.foreign.diff.tar.gzip"};

static bool one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; s && i < n; i++)
		if (bg_streq(list[i], s))
			return true;
	return false;
}

static int wrong(const char *name, const char *why, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
		"%s is not an image that can be read: %s", name, why);
}

static int take_descriptor(
	const json_t *obj, const char *name, struct descriptor *ret, struct bg_err **err)
{
	const char *digest = NULL;
	int64_t size = 0;

	if (bg_json_get_str(obj, "digest", &digest) < 0 || !oci_digest_valid(digest))
		return wrong(name, "its manifest has an entry without a sha256 digest", err);
	if (bg_json_get_int(obj, "size", 0, (int64_t)BG_IMAGE_MAX, &size) < 0)
		return wrong(
			name, "its manifest has an entry without a size, or one over 64 GiB", err);
	memcpy(ret->digest, digest, sizeof(ret->digest));
	ret->size = (uint64_t)size;
	return 0;
}

/* Variants of amd64 (v2, v3) may use instructions that the guest's processor lacks: only without,
 * or v1. */
static bool is_ours(const json_t *platform)
{
	const char *os = NULL, *arch = NULL, *variant = NULL;

	(void)bg_json_get_str(platform, "os", &os);
	(void)bg_json_get_str(platform, "architecture", &arch);
	(void)bg_json_get_str(platform, "variant", &variant);
	return bg_streq(os, OS) && bg_streq(arch, ARCH) && (!variant || bg_streq(variant, "v1"));
}

static void list_platforms(const json_t *list, char *out, size_t size)
{
	const json_t *entry;
	size_t i, len = 0, shown = 0;

	out[0] = '\0';
	json_array_foreach (list, i, entry) {
		const json_t *p = json_object_get(entry, "platform");
		const char *os = NULL, *arch = NULL;

		(void)bg_json_get_str(p, "os", &os);
		(void)bg_json_get_str(p, "architecture", &arch);
		if (!os || !arch || bg_streq(os, "unknown") || shown++ >= SHOWN)
			continue;
		len += (size_t)snprintf(
			out + len, size - len, "%s%.20s/%.20s", len ? ", " : "", os, arch);
	}
}

static int other_platform(const char *name, const char *has, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_REGISTRY_PLATFORM, ENOENT,
		"%s is not there for " OS "/" ARCH "%s%s", name, *has ? ", only for " : "", has);
}

static int parse_index(const json_t *doc, const char *name, struct manifest *m, struct bg_err **err)
{
	const json_t *list = json_object_get(doc, "manifests"), *entry;
	char has[512];
	size_t i;

	json_array_foreach (list, i, entry) {
		const json_t *platform = json_object_get(entry, "platform");

		/* A layout of one image need not say what it is for; its config does. */
		if (!is_ours(platform) && (platform || json_array_size(list) != 1))
			continue;
		m->index = true;
		return take_descriptor(entry, name, &m->next, err);
	}
	list_platforms(list, has, sizeof(has));
	return other_platform(name, has, err);
}

static int take_layer(const json_t *obj, const char *name, struct manifest *m, struct bg_err **err)
{
	const char *type = NULL;
	int r;

	if (bg_json_get_str(obj, "mediaType", &type) < 0 ||
		!one_of(type, layer_types, ARRAY_SIZE(layer_types)))
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, EBADMSG,
			"%s is not the image of a file system: it has a layer of type \"%.100s\"",
			name, type ? type : "");
	r = take_descriptor(obj, name, &m->layers[m->n_layers], err);
	if (r < 0)
		return r;
	m->size += m->layers[m->n_layers++].size;
	return m->size > BG_IMAGE_MAX ? wrong(name, "its layers have more than 64 GiB", err) : 0;
}

static int parse_image(const json_t *doc, const char *name, struct manifest *m, struct bg_err **err)
{
	const json_t *layers = json_object_get(doc, "layers"), *layer;
	int r = take_descriptor(json_object_get(doc, "config"), name, &m->config, err);
	size_t i;

	if (r < 0)
		return r;
	if (m->config.size > MANIFEST_MAX)
		return wrong(name, "its config is over 4 MiB", err);
	if (json_array_size(layers) == 0)
		return wrong(name, "it has no layers", err);
	if (json_array_size(layers) > BG_LAYERS_MAX)
		return wrong(name, "it has too many layers", err);
	json_array_foreach (layers, i, layer) {
		r = take_layer(layer, name, m, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What it says itself counts; the header is for those (OCI before 1.1) that say nothing. */
static int parse_any(const json_t *doc, const char *type, const char *name, struct manifest *m,
	struct bg_err **err)
{
	int64_t version = 0;

	(void)bg_json_get_str(doc, "mediaType", &type);
	(void)bg_json_get_int(doc, "schemaVersion", 0, INT64_MAX, &version);
	if (version == 1)
		return wrong(name,
			"it has Docker's old format (schema 1); push it again with a newer "
			"docker or skopeo",
			err);
	if (version != 2)
		return wrong(name, "its manifest has no \"schemaVersion\" 2", err);
	if (one_of(type, index_types, ARRAY_SIZE(index_types)))
		return parse_index(doc, name, m, err);
	if (one_of(type, image_types, ARRAY_SIZE(image_types)))
		return parse_image(doc, name, m, err);
	if (json_is_array(json_object_get(doc, "manifests")))
		return parse_index(doc, name, m, err);
	return parse_image(doc, name, m, err);
}

/* jansson's own bound on nesting is 2048 levels of recursion, which is fine. */
static json_t *load(const char *text, size_t len)
{
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (doc && !json_is_object(doc)) {
		json_decref(doc);
		return NULL;
	}
	return doc;
}

int manifest_parse(const char *text, size_t len, const char *type, const char *name,
	struct manifest **ret, struct bg_err **err)
{
	_json_ json_t *doc = load(text, len);
	_free_ struct manifest *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read a manifest");
	if (!doc)
		return wrong(name, "its manifest is not a JSON object", err);
	r = parse_any(doc, type, name, m, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

int manifest_check_config(
	const char *text, size_t len, const char *name, json_t **ret_env, struct bg_err **err)
{
	_json_ json_t *doc = load(text, len);
	const char *os = "", *arch = "";
	char has[64];

	if (!doc)
		return wrong(name, "its config is not a JSON object", err);
	(void)bg_json_get_str(doc, "os", &os);
	(void)bg_json_get_str(doc, "architecture", &arch);
	if (!*os || !*arch)
		return wrong(name, "its config does not say which platform it is for", err);
	if (!bg_streq(os, OS) || !bg_streq(arch, ARCH)) {
		snprintf(has, sizeof(has), "%.20s/%.20s", os, arch);
		return other_platform(name, has, err);
	}
	if (image_env_take(json_object_get(json_object_get(doc, "config"), "Env"), ret_env) < 0)
		return wrong(name,
			"the environment in its config is not a list of strings, or over 8 KiB",
			err);
	return 0;
}

int manifest_digest(const char *text, size_t len, char out[BG_OCI_DIGEST + 1], struct bg_err **err)
{
	_unref_(digest) struct digest *d = NULL;
	int r = digest_new(&d, err);

	if (r < 0)
		return r;
	digest_add(d, text, len);
	memcpy(out, "sha256:", sizeof("sha256:"));
	digest_hex(d, out + sizeof("sha256:") - 1);
	return 0;
}

int manifest_check_digest(const char *text, size_t len, const struct descriptor *want,
	const char *name, struct bg_err **err)
{
	char has[BG_OCI_DIGEST + 1];
	int r = manifest_digest(text, len, has, err);

	if (r < 0 || bg_streq(has, want->digest))
		return r;
	return bg_err_set(err, BG_ERR_NET_DIGEST, EBADMSG,
		"%s: the registry sent something of %s instead of %s", name, has, want->digest);
}
