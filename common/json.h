/* SPDX-License-Identifier: ISC */
/*
 * json.h: the error object as JSON, and typed getters over jansson that tell
 * "missing" from "of the wrong type". Used by daemon, worker and CLI on what
 * came from a peer or a file; never logs.
 *
 * Getters: 0; -ENOENT when the key is missing or null; -EINVAL when it has
 * another type or is out of range; *ret is only set on 0. obj need not be an object
 * (then -EINVAL), and may be NULL (then -ENOENT).
 */
#ifndef BG_COMMON_JSON_H
#define BG_COMMON_JSON_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

static inline void bg_json_unrefp(json_t **j)
{
	json_decref(*j);
}
#define _json_ _cleanup_(bg_json_unrefp)

/* *ret is borrowed from obj; a string with an embedded NUL is -EINVAL. */
int bg_json_get_str(const json_t *obj, const char *key, const char **ret);
/* A whole number within min..max, both included. */
int bg_json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret);
int bg_json_get_bool(const json_t *obj, const char *key, bool *ret);
/* *ret is borrowed from obj. */
int bg_json_get_obj(const json_t *obj, const char *key, const json_t **ret);
int bg_json_get_array(const json_t *obj, const char *key, const json_t **ret);

/*
 * The same with a ready error (code, "\"size\" is missing" / "\"size\" is not a string").
 * The _or_ forms leave *ret as it is and return 0 when the key is missing.
 */
int bg_json_need_str(const json_t *obj, const char *key, enum bg_err_code code, const char **ret,
	struct bg_err **err);
int bg_json_need_int(const json_t *obj, const char *key, enum bg_err_code code, int64_t min,
	int64_t max, int64_t *ret, struct bg_err **err);
int bg_json_need_bool(
	const json_t *obj, const char *key, enum bg_err_code code, bool *ret, struct bg_err **err);
int bg_json_or_str(const json_t *obj, const char *key, enum bg_err_code code, const char **ret,
	struct bg_err **err);
int bg_json_or_int(const json_t *obj, const char *key, enum bg_err_code code, int64_t min,
	int64_t max, int64_t *ret, struct bg_err **err);
int bg_json_or_bool(
	const json_t *obj, const char *key, enum bg_err_code code, bool *ret, struct bg_err **err);

/* json_string() that replaces bytes which are not UTF-8 by '?'; NULL gives JSON null. */
json_t *bg_json_str(const char *s);

/* {"code", "message", "hint", "errno"}; a new reference, NULL when out of memory. */
json_t *bg_err_to_json(const struct bg_err *err);
/*
 * Makes *err out of what bg_err_to_json wrote and returns -errno as bg_err_set does. An object
 * that is none becomes BG_ERR_INTERNAL that says so.
 */
int bg_err_from_json(const json_t *obj, struct bg_err **err);

#endif
