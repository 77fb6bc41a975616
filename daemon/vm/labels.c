/* SPDX-License-Identifier: ISC */
/* labels.c: Text of JSON in, text of JSON out, sorted by key. */
#include "daemon/vm/labels.h"

#include "common/json.h"
#include "common/limits.h"

static bool key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._/", c));
}

static bool key_ok(const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < len; i++)
		if (!key_char(key[i]))
			return false;
	return len > 0 && len <= BG_LABEL_KEY_MAX && key[0] != '-';
}

static bool value_ok(const char *value)
{
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return strlen(value) <= BG_LABEL_VALUE_MAX;
}

static int bad(struct bg_err **err, const char *key, const char *why)
{
	int r = bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "label \"%.80s\": %s", key, why);

	bg_err_hint(err,
		"a label is KEY=VALUE: a key of 1 to %d letters, digits and '-._/', a value of at "
		"most %d bytes",
		BG_LABEL_KEY_MAX, BG_LABEL_VALUE_MAX);
	return r;
}

static int apply_one(json_t *labels, const char *key, json_t *value, struct bg_err **err)
{
	if (!key_ok(key))
		return bad(err, key, "that is not a key");
	if (json_is_null(value))
		return json_object_del(labels, key) < 0 ? bad(err, key, "the VM does not have it")
							: 0;
	if (!json_is_string(value))
		return bad(err, key, "its value is not text");
	if (!value_ok(json_string_value(value)))
		return bad(err, key, "its value is too long, or has control characters");
	return json_object_set(labels, key, value) < 0
		       ? bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory")
		       : 0;
}

json_t *labels_to_json(const char *text)
{
	json_t *labels = text ? json_loads(text, 0, NULL) : NULL;

	if (json_is_object(labels))
		return labels;
	json_decref(labels);
	return json_object();
}

int labels_apply(const char *old, const json_t *change, char **ret, struct bg_err **err)
{
	_json_ json_t *labels = labels_to_json(old);
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach ((json_t *)(uintptr_t)change, key, value) {
		r = apply_one(labels, key, value, err);
		if (r < 0)
			return r;
	}
	if (json_object_size(labels) > BG_LABELS_MAX)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, E2BIG, "a VM has at most %d labels",
			BG_LABELS_MAX);
	*ret = NULL;
	if (json_object_size(labels) == 0)
		return 0;
	*ret = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}
