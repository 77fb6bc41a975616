/* SPDX-License-Identifier: ISC */
/* Manifests, configs and challenges as a registry may send them: what is taken keeps to its bounds.
 */
#include "tests/fuzz/fuzz.h"
#include "worker/manifest.h"
#include "worker/registry.h"

static void check(const struct manifest *m)
{
	uint64_t size = 0;

	if (m->index) {
		if (!oci_digest_valid(m->next.digest) || m->n_layers)
			abort();
		return;
	}
	if (m->n_layers == 0 || m->n_layers > BG_LAYERS_MAX || !oci_digest_valid(m->config.digest))
		abort();
	for (size_t i = 0; i < m->n_layers; i++) {
		if (!oci_digest_valid(m->layers[i].digest))
			abort();
		size += m->layers[i].size;
	}
	if (size != m->size || size > BG_IMAGE_MAX)
		abort();
}

static void challenge(const uint8_t *data, size_t size)
{
	_free_ char *text = strndup((const char *)data, size);
	_free_ char *realm = text ? challenge_param(text, "Bearer", "realm") : NULL;
	_free_ char *basic = text ? challenge_param(text, "Basic", NULL) : NULL;

	if (!text || (realm && strlen(realm) > size) || (basic && *basic))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ struct manifest *m = NULL;
	_err_ struct bg_err *err = NULL, *config = NULL;
	_json_ json_t *env = NULL;

	if (manifest_parse((const char *)data, size, NULL, "it", &m, &err) >= 0)
		check(m);
	else if (!err || m)
		abort();
	if ((manifest_check_config((const char *)data, size, "it", &env, &config) < 0) !=
			(config != NULL) ||
		(env && (config || json_array_size(env) == 0)))
		abort();
	challenge(data, size);
	return 0;
}
