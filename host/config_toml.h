/* SPDX-License-Identifier: ISC */
/*
 * config_toml.h: the part of TOML 1.0 that config.toml uses: comments, `key = value` with bare
 * keys, and as values basic strings ("…" with their escapes), literal strings ('…'), decimal
 * integers and booleans. Tables, arrays, dates, floats and multi-line strings are errors that say
 * so. Keys are not interpreted here. Used by config.c; fuzzed. Owns nothing, touches no file.
 */
#ifndef BG_HOST_CONFIG_TOML_H
#define BG_HOST_CONFIG_TOML_H

#include "common/base.h"

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN };

struct toml_value {
	enum toml_type type;
	char *string; /* UTF-8, no NUL inside; valid during the callback */
	int64_t integer;
	bool boolean;
};

/* Where and what; for "FILE:LINE: what". */
struct toml_error {
	unsigned line;
	const char *what; /* a literal */
};

/* A negative return stops and is returned; the callback makes its own error then. */
typedef int (*toml_fn)(
	const char *key, const struct toml_value *value, unsigned line, void *userdata);

/* text has len bytes. 0; -EINVAL with *error set; -ENOMEM; or what fn returned (error->what is
 * NULL). */
int toml_parse(const char *text, size_t len, toml_fn fn, void *userdata, struct toml_error *error);

#endif
