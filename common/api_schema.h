/* SPDX-License-Identifier: ISC */
/*
 * api_schema.h: common/api_fields.def as data, and requests checked by it. The same rows become the API's description
 * (openapi.h), so what it says is what is checked. Pure; never logs.
 */
#ifndef BG_COMMON_API_SCHEMA_H
#define BG_COMMON_API_SCHEMA_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

enum api_type {
	API_STR,
	API_NAME,
	API_TIME,
	API_INT,
	API_NUM,
	API_BOOL,
	API_ENUM,
	API_REF,
	API_LIST_STR,
	API_LIST_INT,
	API_LIST,
	API_MAP,
	API_ANY,
	API_TYPE_MAX_
};

/* As the head of api_fields.def says. */
enum { API_REQ = 1, API_NUL = 2, API_OPT = 4, API_LIM = 8, API_MIX = 16 };

struct api_field {
	const char *key; /* NULL: the row begins a schema, named in ref */
	enum api_type type;
	unsigned flags;
	int64_t min, max;
	const char *ref;
	const char *text;
};

/* The row that begins it; its fields follow until one without a key. NULL: there is none of that name. */
const struct api_field *api_schema_find(const char *name);
/* The first row of all, then the next beginning; NULL behind the last. */
const struct api_field *api_schema_next(const struct api_field *schema);
bool api_schema_has(const char *name, const char *key);

/*
 * Is body (an object) what the schema takes? Nulls at its top are taken away, for they mean what is absent. BAD_REQUEST, or
 * VM_LIMITS where the table says so, which names the field.
 */
int api_schema_check(const char *name, json_t *body, struct bg_err **err);
/* The same for a query parameter, which is text. */
int api_schema_check_query(
	const char *name, const char *key, const char *text, struct bg_err **err);

#endif
