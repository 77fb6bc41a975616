/* SPDX-License-Identifier: ISC */
/*
 * json.c: Getters over jansson. get tells what is wrong by its errno, need makes the error, or
 * takes a default.
 */
#include "common/json.h"

static int find(const json_t *obj, const char *key, const json_t **ret)
{
	const json_t *v;

	if (!obj)
		return -ENOENT;
	if (!json_is_object(obj))
		return -EINVAL;
	v = json_object_get(obj, key);
	if (!v || json_is_null(v))
		return -ENOENT;
	*ret = v;
	return 0;
}

int bg_json_get_str(const json_t *obj, const char *key, const char **ret)
{
	const json_t *v;
	int r = find(obj, key, &v);

	if (r < 0)
		return r;
	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return -EINVAL;
	*ret = json_string_value(v);
	return 0;
}

int bg_json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const json_t *v;
	int r = find(obj, key, &v);

	if (r < 0)
		return r;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return -EINVAL;
	*ret = json_integer_value(v);
	return 0;
}

int bg_json_get_bool(const json_t *obj, const char *key, bool *ret)
{
	const json_t *v;
	int r = find(obj, key, &v);

	if (r < 0)
		return r;
	if (!json_is_boolean(v))
		return -EINVAL;
	*ret = json_is_true(v);
	return 0;
}

int bg_json_get_obj(const json_t *obj, const char *key, const json_t **ret)
{
	const json_t *v;
	int r = find(obj, key, &v);

	if (r < 0)
		return r;
	if (!json_is_object(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

int bg_json_get_array(const json_t *obj, const char *key, const json_t **ret)
{
	const json_t *v;
	int r = find(obj, key, &v);

	if (r < 0)
		return r;
	if (!json_is_array(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int complain(
	int r, const char *key, enum bg_err_code code, const char *want, struct bg_err **err)
{
	if (r >= 0)
		return 0;
	if (r == -ENOENT)
		return bg_err_set(err, code, EINVAL, "\"%s\" is missing", key);
	return bg_err_set(err, code, EINVAL, "\"%s\" is not %s", key, want);
}

static int complain_int(int r, const char *key, enum bg_err_code code, int64_t min, int64_t max,
	struct bg_err **err)
{
	char want[96];

	snprintf(want, sizeof(want), "a whole number from %lld to %lld", (long long)min,
		(long long)max);
	return complain(r, key, code, want, err);
}

int bg_json_need_str(const json_t *obj, const char *key, enum bg_err_code code, const char **ret,
	struct bg_err **err)
{
	return complain(bg_json_get_str(obj, key, ret), key, code, "a string", err);
}

int bg_json_need_int(const json_t *obj, const char *key, enum bg_err_code code, int64_t min,
	int64_t max, int64_t *ret, struct bg_err **err)
{
	return complain_int(bg_json_get_int(obj, key, min, max, ret), key, code, min, max, err);
}

int bg_json_need_bool(
	const json_t *obj, const char *key, enum bg_err_code code, bool *ret, struct bg_err **err)
{
	return complain(bg_json_get_bool(obj, key, ret), key, code, "true or false", err);
}

int bg_json_or_str(const json_t *obj, const char *key, enum bg_err_code code, const char **ret,
	struct bg_err **err)
{
	int r = bg_json_get_str(obj, key, ret);

	return r == -ENOENT ? 0 : complain(r, key, code, "a string", err);
}

int bg_json_or_int(const json_t *obj, const char *key, enum bg_err_code code, int64_t min,
	int64_t max, int64_t *ret, struct bg_err **err)
{
	int r = bg_json_get_int(obj, key, min, max, ret);

	return r == -ENOENT ? 0 : complain_int(r, key, code, min, max, err);
}

int bg_json_or_bool(
	const json_t *obj, const char *key, enum bg_err_code code, bool *ret, struct bg_err **err)
{
	int r = bg_json_get_bool(obj, key, ret);

	return r == -ENOENT ? 0 : complain(r, key, code, "true or false", err);
}

json_t *bg_json_str(const char *s)
{
	_free_ char *copy = NULL;
	json_t *j;

	if (!s)
		return json_null();
	j = json_string(s);
	if (j)
		return j;
	copy = strdup(s);
	if (!copy)
		return NULL;
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(copy);
}

json_t *bg_err_to_json(const struct bg_err *err)
{
	return json_pack("{s:s, s:o, s:o, s:i}", "code", bg_err_code_str(err->code), "message",
		bg_json_str(err->message), "hint", bg_json_str(err->hint), "errno", err->errnum);
}

int bg_err_from_json(const json_t *obj, struct bg_err **err)
{
	const char *code, *message, *hint = NULL;
	int64_t errnum = 0;
	int r;

	if (bg_json_get_str(obj, "code", &code) < 0 ||
		bg_json_get_str(obj, "message", &message) < 0)
		return bg_err_set(
			err, BG_ERR_INTERNAL, EPROTO, "a malformed error object came back");
	(void)bg_json_get_str(obj, "hint", &hint);
	(void)bg_json_get_int(obj, "errno", 0, 4095, &errnum);
	r = bg_err_set(err, bg_err_code_parse(code), (int)errnum, "%s", message);
	if (hint)
		bg_err_hint(err, "%s", hint);
	else if (err && *err) {
		free((*err)->hint);
		(*err)->hint = NULL;
	}
	return r;
}
