/* SPDX-License-Identifier: ISC */
/* api_schema.c: The rows of api_fields.def as a table, and a walk over a body beside it. */
#include "common/api_schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/limits.h"

#define WHOLE_MAX 9007199254740992.0 /* beyond it a double is not exact */

static const struct api_field rows[] = {
#define REQ		 API_REQ
#define NUL		 API_NUL
#define OPT		 API_OPT
#define LIM		 API_LIM
#define MIX		 API_MIX
#define S(schema, text_) {NULL, API_ANY, 0, 0, 0, #schema, text_},
#define F(schema, key_, type_, flags_, min_, max_, ref_, text_)                                    \
	{#key_, API_##type_, flags_, min_, max_, ref_, text_},
#include "common/api_fields.def"
	{NULL, API_ANY, 0, 0, 0, NULL, NULL}, /* ends the last one's fields */
#undef F
#undef S
#undef REQ
#undef NUL
#undef OPT
#undef LIM
#undef MIX
};

static bool is_row(const struct api_field *row)
{
	return row < rows + ARRAY_SIZE(rows) - 1;
}

const struct api_field *api_schema_next(const struct api_field *schema)
{
	const struct api_field *row = schema ? schema + 1 : rows;

	while (is_row(row) && row->key)
		row++;
	return is_row(row) ? row : NULL;
}

const struct api_field *api_schema_find(const char *name)
{
	const struct api_field *row = NULL;

	while ((row = api_schema_next(row)) && !bg_streq(row->ref, name))
		;
	return row;
}

static const struct api_field *find_field(const struct api_field *schema, const char *key)
{
	for (const struct api_field *row = schema + 1; is_row(row) && row->key; row++)
		if (bg_streq(row->key, key))
			return row;
	return NULL;
}

bool api_schema_has(const char *name, const char *key)
{
	const struct api_field *schema = api_schema_find(name);

	return schema && find_field(schema, key);
}

/* ---- requests ---- */

static int refuse(const struct api_field *field, const char *want, struct bg_err **err)
{
	return bg_err_set(err, field->flags & API_LIM ? BG_ERR_VM_LIMITS : BG_ERR_BAD_REQUEST,
		EINVAL, "\"%s\" is not %s", field->key, want);
}

static int refuse_number(const struct api_field *field, struct bg_err **err)
{
	char want[96];

	snprintf(want, sizeof(want), "a whole number from %lld to %lld", (long long)field->min,
		(long long)field->max);
	return refuse(field, want, err);
}

/* Is text one of the words? */
static bool is_word(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = words; *p;) {
		size_t n = strcspn(p, "|");

		if (n == len && memcmp(p, text, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static int refuse_word(const struct api_field *field, struct bg_err **err)
{
	char want[160];

	snprintf(want, sizeof(want), "one of %s", field->ref);
	return refuse(field, want, err);
}

static bool is_text(const json_t *value)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

/* JSON has one kind of number: 2.0 is a whole one, and a client's library may well write it so. */
static bool to_whole(const json_t *value, int64_t *ret)
{
	double d = json_number_value(value);

	if (json_is_real(value) && (d < -WHOLE_MAX || d > WHOLE_MAX || d != (double)(int64_t)d))
		return false;
	*ret = json_is_real(value) ? (int64_t)d : json_integer_value(value);
	return json_is_number(value);
}

static bool is_in(const json_t *value, int64_t min, int64_t max)
{
	int64_t n;

	return to_whole(value, &n) && n >= min && n <= max;
}

static int check_object(const struct api_field *schema, json_t *object, struct bg_err **err);

static int check_entry(const struct api_field *field, json_t *entry, struct bg_err **err)
{
	char *end = NULL;
	long min, max;

	if (field->type == API_LIST)
		return json_is_object(entry) ? check_object(api_schema_find(field->ref), entry, err)
					     : refuse(field, "a list of objects", err);
	if (field->type == API_LIST_STR)
		return is_text(entry) ? 0 : refuse(field, "a list of strings", err);
	min = strtol(field->ref, &end, 10);
	max = strtol(end + 1, NULL, 10);
	return is_in(entry, min, max)
		       ? 0
		       : refuse(field, "a list of whole numbers in their range", err);
}

static int check_list(const struct api_field *field, const json_t *value, struct bg_err **err)
{
	json_t *entry;
	size_t i;

	if (!json_is_array(value))
		return refuse(field, "a list", err);
	if (field->max && json_array_size(value) > (size_t)field->max)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, E2BIG,
			"\"%s\" has more than %lld entries", field->key, (long long)field->max);
	json_array_foreach (value, i, entry) {
		int r = check_entry(field, entry, err);
		int64_t n;

		if (r < 0)
			return r;
		if (json_is_real(entry) && to_whole(entry, &n))
			json_array_set_new((json_t *)(uintptr_t)value, i, json_integer(n));
	}
	return 0;
}

static int check_map(const struct api_field *field, const json_t *value, struct bg_err **err)
{
	const char *key;
	json_t *entry;

	if (!json_is_object(value))
		return refuse(field, "an object", err);
	json_object_foreach ((json_t *)(uintptr_t)value, key, entry)
		if (!is_text(entry) && !(json_is_null(entry) && field->flags & API_MIX))
			return refuse(field, "an object of strings", err);
	return 0;
}

static int check_value(const struct api_field *field, json_t *value, struct bg_err **err)
{
	switch (field->type) {
	case API_STR:
	case API_NAME:
	case API_TIME:
		return is_text(value) ? 0 : refuse(field, "a string", err);
	case API_ENUM:
		return is_text(value) && is_word(field->ref, json_string_value(value))
			       ? 0
			       : refuse_word(field, err);
	case API_INT:
		return is_in(value, field->min, field->max) ? 0 : refuse_number(field, err);
	case API_NUM:
		return json_is_number(value) ? 0 : refuse(field, "a number", err);
	case API_BOOL:
		return json_is_boolean(value) ? 0 : refuse(field, "true or false", err);
	case API_REF:
		return json_is_object(value) ? check_object(api_schema_find(field->ref), value, err)
					     : refuse(field, "an object", err);
	case API_LIST_STR:
	case API_LIST_INT:
	case API_LIST:
		return check_list(field, value, err);
	case API_MAP:
		return check_map(field, value, err);
	case API_ANY:
	case API_TYPE_MAX_:
		break;
	}
	return 0;
}

static void drop_nulls(json_t *object)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(object, next, key, value) if (json_is_null(value))
		json_object_del(object, key);
}

static int check_object(const struct api_field *schema, json_t *object, struct bg_err **err)
{
	const struct api_field *field;
	const char *key;
	json_t *value;
	int64_t n;
	int r;

	json_object_foreach (object, key, value) {
		field = find_field(schema, key);
		if (!field)
			return bg_err_set(
				err, BG_ERR_BAD_REQUEST, EINVAL, "unknown field \"%s\"", key);
		if (json_is_null(value))
			continue;
		r = check_value(field, value, err);
		if (r < 0)
			return r;
		if (field->type == API_INT && json_is_real(value) && to_whole(value, &n))
			json_object_set_new(
				object, key, json_integer(n)); /* of a key that is there */
	}
	drop_nulls(object);
	for (field = schema + 1; is_row(field) && field->key; field++)
		if (field->flags & API_REQ && !json_object_get(object, field->key))
			return bg_err_set(
				err, BG_ERR_BAD_REQUEST, EINVAL, "\"%s\" is missing", field->key);
	return 0;
}

int api_schema_check(const char *name, json_t *body, struct bg_err **err)
{
	return check_object(api_schema_find(name), body, err);
}

/* What is not UTF-8 could be in no body either. */
static int check_text(const struct api_field *field, const char *text, struct bg_err **err)
{
	_json_ json_t *json = json_string(text);

	if (!json)
		return refuse(field, "UTF-8", err);
	return *text || !field->min ? 0 : refuse(field, "a text of a character or more", err);
}

int api_schema_check_query(const char *name, const char *key, const char *text, struct bg_err **err)
{
	const struct api_field *schema = api_schema_find(name);
	const struct api_field *field = schema ? find_field(schema, key) : NULL;
	json_t *number;
	int r;

	if (!field)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"there is no query parameter \"%.40s\" here", key);
	if (field->type == API_BOOL)
		return is_word("0|1|false|true", text) ? 0 : refuse(field, "0 or 1", err);
	if (field->type == API_ENUM)
		return is_word(field->ref, text) ? 0 : refuse_word(field, err);
	if (field->type != API_INT)
		return check_text(field, text, err);
	if (!*text || strlen(text) > 18 || strspn(text, "0123456789") != strlen(text))
		return refuse_number(field, err);
	number = json_integer(strtoll(text, NULL, 10));
	r = check_value(field, number, err);
	json_decref(number);
	return r;
}
