/* SPDX-License-Identifier: ISC */
/* See db.h: rows and their text, both made from the lists of columns. */
#include "daemon/store/db.h"

#include <stdio.h>

#include "common/json.h"

static const struct table *const tables[] = {
	[TABLE_VM] = &store_table_vm,
	[TABLE_IMAGE] = &store_table_image,
	[TABLE_KERNEL] = &store_table_kernel,
	[TABLE_OP] = &store_table_op,
	[TABLE_META] = &store_table_meta,
};
static_assert(ARRAY_SIZE(tables) == TABLE_MAX_, "one row per table");

const struct table *store_table(enum table_id id)
{
	return tables[id];
}

int store_table_find(const char *name, enum table_id *ret)
{
	for (unsigned i = 0; i < TABLE_MAX_; i++)
		if (bg_streq(tables[i]->name, name)) {
			*ret = (enum table_id)i;
			return 0;
		}
	return -ENOENT;
}

static void *at(void *row, const struct column *c)
{
	return (char *)row + c->offset;
}

static const void *at_const(const void *row, const struct column *c)
{
	return (const char *)row + c->offset;
}

const char *table_key(enum table_id id, const void *row)
{
	const struct column *c = &tables[id]->columns[0];

	return c->kind == COLUMN_ID ? at_const(row, c) : *(char *const *)at_const(row, c);
}

void table_row_free(enum table_id id, void *row)
{
	const struct table *t = tables[id];

	if (!row)
		return;
	for (unsigned i = 0; i < t->n_columns; i++)
		if (t->columns[i].kind == COLUMN_STR)
			free(*(char **)at(row, &t->columns[i]));
	free(row);
}

/* A path may have bytes that are not UTF-8, which JSON has no way to say: {"bytes": HEX}. */
static json_t *bytes_to_json(const char *s)
{
	size_t len = strlen(s);
	_free_ char *hex = malloc(2 * len + 1);

	if (!hex)
		return NULL;
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)s[i]);
	return json_pack("{s:s}", "bytes", hex);
}

static char *bytes_from_json(const json_t *j)
{
	const char *hex = json_string_value(json_object_get(j, "bytes"));
	size_t len = hex ? strlen(hex) / 2 : 0;
	char *s = len ? calloc(1, len + 1) : NULL;

	for (size_t i = 0; s && i < len; i++) {
		unsigned byte = 0;

		(void)sscanf(hex + 2 * i, "%2x", &byte);
		s[i] = (char)byte;
	}
	return s;
}

static json_t *str_to_json(const char *s)
{
	json_t *j = json_string(s);

	return j ? j : bytes_to_json(s);
}

/* A column without a text is left out, and is read back so. */
static bool is_left_out(const struct column *c, const void *row)
{
	return c->kind == COLUMN_STR && !*(char *const *)at_const(row, c);
}

static json_t *column_to_json(const struct column *c, const void *row)
{
	const void *p = at_const(row, c);

	switch (c->kind) {
	case COLUMN_ID:
		return json_string(p);
	case COLUMN_STR:
		return str_to_json(*(char *const *)p);
	case COLUMN_INT:
		return json_integer(*(const int *)p);
	case COLUMN_UINT:
		return json_integer(*(const unsigned *)p);
	case COLUMN_U64:
		return json_integer((json_int_t) * (const uint64_t *)p);
	case COLUMN_I64:
		return json_integer(*(const int64_t *)p);
	case COLUMN_BOOL:
		return json_boolean(*(const bool *)p);
	}
	return NULL;
}

json_t *table_to_json(enum table_id id, const void *row, bool keep_only)
{
	const struct table *t = tables[id];
	_json_ json_t *json = json_object();

	for (unsigned i = 0; json && i < t->n_columns; i++) {
		const struct column *c = &t->columns[i];

		if ((keep_only && c->home != COLUMN_KEEP) || is_left_out(c, row))
			continue;
		/* A row that lacks a column for want of memory would be another row. */
		if (json_object_set_new(json, c->name, column_to_json(c, row)) < 0)
			return NULL;
	}
	return TAKE_PTR(json);
}

static int str_from_json(const json_t *j, char **ret)
{
	if (json_is_string(j) && strlen(json_string_value(j)) == json_string_length(j))
		*ret = strdup(json_string_value(j));
	else if (json_is_object(j))
		*ret = bytes_from_json(j);
	else
		return -EBADMSG;
	return *ret ? 0 : -ENOMEM;
}

static int id_from_json(const json_t *j, char *ret)
{
	if (json_string_length(j) == 0 || json_string_length(j) > BG_ID_LEN)
		return -EBADMSG;
	snprintf(ret, BG_ID_LEN + 1, "%s", json_string_value(j));
	return 0;
}

static int column_from_json(const struct column *c, const json_t *j, void *row)
{
	void *p = at(row, c);

	if (!j || json_is_null(j))
		return 0;
	if (c->kind == COLUMN_ID)
		return id_from_json(j, p);
	if (c->kind == COLUMN_STR)
		return str_from_json(j, p);
	if (c->kind == COLUMN_BOOL && json_is_boolean(j)) {
		*(bool *)p = json_is_true(j);
		return 0;
	}
	if (!json_is_integer(j) || c->kind == COLUMN_BOOL)
		return -EBADMSG;
	if (c->kind == COLUMN_INT)
		*(int *)p = (int)json_integer_value(j);
	else if (c->kind == COLUMN_UINT)
		*(unsigned *)p = (unsigned)json_integer_value(j);
	else
		*(int64_t *)p = json_integer_value(j); /* of both signs */
	return 0;
}

int table_from_json(enum table_id id, const json_t *json, void **ret)
{
	const struct table *t = tables[id];
	void *row = calloc(1, t->row_size);
	int r = row ? 0 : -ENOMEM;

	if (row && t->blank)
		t->blank(row);
	for (unsigned i = 0; i < t->n_columns && r >= 0; i++)
		r = column_from_json(
			&t->columns[i], json_object_get(json, t->columns[i].name), row);
	if (r >= 0 && bg_isempty(table_key(id, row)))
		r = -EBADMSG;
	if (r < 0) {
		table_row_free(id, row);
		return r;
	}
	*ret = row;
	return 0;
}

static size_t column_size(const struct column *c)
{
	switch (c->kind) {
	case COLUMN_ID:
		return sizeof(column_id);
	case COLUMN_STR:
		return sizeof(char *);
	case COLUMN_INT:
		return sizeof(int);
	case COLUMN_UINT:
		return sizeof(unsigned);
	case COLUMN_U64:
	case COLUMN_I64:
		return sizeof(uint64_t);
	case COLUMN_BOOL:
		return sizeof(bool);
	}
	return 0;
}

void table_take_keep(enum table_id id, void *row, void *from)
{
	const struct table *t = tables[id];

	for (unsigned i = 0; i < t->n_columns; i++) {
		const struct column *c = &t->columns[i];

		if (c->home != COLUMN_KEEP)
			continue;
		if (c->kind == COLUMN_STR)
			free(*(char **)at(row, c));
		memcpy(at(row, c), at(from, c), column_size(c));
		memset(at(from, c), 0, column_size(c));
	}
}

char *table_text(enum table_id id, const void *row, bool keep_only)
{
	_json_ json_t *json = table_to_json(id, row, keep_only);

	return json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

int table_parse(enum table_id id, const char *text, void **ret)
{
	_json_ json_t *json = json_loads(text, 0, NULL);

	return json_is_object(json) ? table_from_json(id, json, ret) : -EBADMSG;
}
