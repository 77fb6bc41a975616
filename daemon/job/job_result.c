/* SPDX-License-Identifier: ISC */
/* See job_result.h. One row per field that the engine reads. */
#include "daemon/job/job_result.h"

#include "common/json.h"
#include "common/limits.h"
#include "common/oci_ref.h"

enum shape {
	COUNT,
	SIZE,
	YES_NO,
	TEXT,
	SHA256,
	OBJECT,
	OCI_DIGEST,
	LAYERS,
	SHA256S,
	TEXTS,
	OFFERS,
	FILES,
	COPIES
};

enum { TEXT_MAX = 8192, OFFERS_MAX = 100, FILES_MAX = 1000 };

struct field {
	const char *key;
	enum shape shape;
	bool optional;
};

enum { FIELDS_MAX = 6 };

static const struct field fields[JOB_MAX_][FIELDS_MAX] = {
	[JOB_COPY] = {{"bytes", COUNT, false}},
	[JOB_UNPACK] = {{"size", SIZE, false}, {"os_release", OBJECT, true},
		{"has_sshd", YES_NO, true}},
	[JOB_KERNEL] = {{"format", TEXT, false}, {"release", TEXT, true}, {"modules", COUNT, true}},
	[JOB_VMLINUX] = {{"bytes", COUNT, false}},
	[JOB_FETCH] = {{"bytes", COUNT, false}, {"sha256", SHA256, true}},
	[JOB_FLATTEN] = {{"size", SIZE, false}, {"os_release", OBJECT, true},
		{"has_sshd", YES_NO, true}},
	[JOB_RESOLVE] = {{"digest", OCI_DIGEST, false}, {"layers", LAYERS, false},
		{"env", TEXTS, true}},
	[JOB_BLOBS] = {{"fetched", COUNT, false}},
	[JOB_LAYOUT] = {{"next", OBJECT, true}, {"config", OBJECT, true}, {"layers", LAYERS, true},
		{"env", TEXTS, true}},
	[JOB_ARCHIVE] = {{"layers", LAYERS, false}, {"env", TEXTS, true}},
	[JOB_PACK_BUNDLE] = {{"bytes", COUNT, false}, {"sha256", SHA256, false}},
	[JOB_UNPACK_BUNDLE] = {{"manifest", OBJECT, false}},
	[JOB_CATALOG] = {{"entry", OBJECT, true}, {"entries", OFFERS, true}},
	[JOB_LIST] = {{"entries", FILES, false}, {"left_out", COUNT, false},
		{"more", YES_NO, false}},
	[JOB_DIGEST] = {{"digests", SHA256S, false}},
	[JOB_INSPECT] = {{"os_release", OBJECT, true}, {"has_sshd", YES_NO, true}},
	[JOB_COW_SEED] = {{"chunks", COUNT, false}},
	[JOB_COW_MERGE] = {{"bytes", COUNT, false}},
	[JOB_MEMORY] = {{"files", COPIES, false}},
};

static bool is_text(const json_t *value)
{
	return json_is_string(value) && json_string_length(value) <= TEXT_MAX &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

static bool is_sha256(const json_t *value)
{
	const char *hex = is_text(value) ? json_string_value(value) : "";

	return strlen(hex) == BG_SHA256_HEX && strspn(hex, "0123456789abcdef") == BG_SHA256_HEX;
}

static bool is_offer(const json_t *value)
{
	return is_text(json_object_get(value, "name")) &&
	       is_text(json_object_get(value, "description")) &&
	       json_is_integer(json_object_get(value, "size"));
}

/* A name, not a path: who shows them makes paths of them. */
static bool is_file(const json_t *value)
{
	static const char *const kinds[] = {"folder", "file", "link", "other"};
	const json_t *name = json_object_get(value, "name");
	const char *kind = NULL;
	int64_t size;
	bool known = false;

	(void)bg_json_get_str(value, "kind", &kind);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		known = known || bg_streq(kinds[i], kind);
	return known && is_text(name) && json_string_length(name) > 0 &&
	       !strchr(json_string_value(name), '/') && json_object_size(value) == 3 &&
	       bg_json_get_int(value, "size", 0, INT64_MAX, &size) >= 0;
}

static bool is_copy(const json_t *value)
{
	int64_t size, bytes;

	return bg_json_get_int(value, "size", 0, INT64_MAX, &size) >= 0 &&
	       bg_json_get_int(value, "bytes", 0, INT64_MAX, &bytes) >= 0 &&
	       is_sha256(json_object_get(value, "digest"));
}

static bool is_layer(const json_t *value)
{
	const char *digest = NULL;
	int64_t size;

	return bg_json_get_str(value, "digest", &digest) >= 0 && oci_digest_valid(digest) &&
	       bg_json_get_int(value, "size", 0, INT64_MAX, &size) >= 0;
}

static bool all(const json_t *list, size_t min, size_t max, bool (*is)(const json_t *value))
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) < min || json_array_size(list) > max)
		return false;
	json_array_foreach (list, i, item)
		if (!is(item))
			return false;
	return true;
}

static bool fits(const json_t *value, enum shape shape)
{
	switch (shape) {
	case COUNT:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case SIZE:
		return json_is_integer(value) && json_integer_value(value) > 0;
	case YES_NO:
		return json_is_boolean(value);
	case TEXT:
		return is_text(value);
	case SHA256:
		return is_sha256(value);
	case OBJECT:
		return json_is_object(value);
	case OCI_DIGEST:
		return is_text(value) && oci_digest_valid(json_string_value(value));
	case LAYERS:
		return all(value, 1, BG_LAYERS_MAX, is_layer);
	case SHA256S:
		return all(value, 1, BG_JOB_ALL_FDS_MAX, is_sha256);
	case TEXTS:
		return all(value, 0, TEXT_MAX, is_text);
	case OFFERS:
		return all(value, 0, OFFERS_MAX, is_offer);
	case FILES:
		return all(value, 0, FILES_MAX, is_file);
	case COPIES:
		return all(value, 1, BG_JOB_FDS_MAX, is_copy);
	}
	return false;
}

/* The members of "entry" and "manifest", which the engine follows without another look. */
static const char *check_inner(enum job_kind kind, const json_t *result)
{
	static const struct field entry[] = {
		{"url", TEXT, false}, {"sha256", SHA256, false}, {"size", SIZE, false}};
	const json_t *inner = json_object_get(result, "entry");

	if (kind == JOB_CATALOG && inner)
		for (size_t i = 0; i < ARRAY_SIZE(entry); i++)
			if (!fits(json_object_get(inner, entry[i].key), entry[i].shape))
				return entry[i].key;
	inner = json_object_get(result, "manifest");
	if (kind == JOB_UNPACK_BUNDLE && !json_is_object(json_object_get(inner, "image")))
		return "image";
	return NULL;
}

int job_result_check(enum job_kind kind, const json_t *result, const char **ret_why)
{
	*ret_why = "result";
	if (!json_is_object(result))
		return -EPROTO;
	for (size_t i = 0; i < FIELDS_MAX && fields[kind][i].key; i++) {
		const struct field *f = &fields[kind][i];
		const json_t *value = json_object_get(result, f->key);

		*ret_why = f->key;
		if (f->optional && (!value || json_is_null(value)))
			continue;
		if (!fits(value, f->shape))
			return -EPROTO;
	}
	*ret_why = check_inner(kind, result);
	return *ret_why ? -EPROTO : 0;
}
