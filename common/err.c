/* SPDX-License-Identifier: ISC */
/*
 * err.c: The codes come from err_codes.def. An error is one allocation; when there is none left, a
 * static one says so.
 */
#include "common/err.h"

#include <assert.h>
#include <stdio.h>

#include "common/redact.h"

static const struct {
	const char *dotted;
	int http;
	enum bg_exit exit;
	const char *hint;
} codes[] = {
#define X(sym, dotted_, http_, exit_, hint_) [BG_ERR_##sym] = {dotted_, http_, exit_, hint_},
#include "common/err_codes.def"
#undef X
};
static_assert(ARRAY_SIZE(codes) == BG_ERR_MAX_, "one row per error code");

/* What is shown when there is no memory even for the error. */
static struct bg_err out_of_memory = {BG_ERR_INTERNAL, ENOMEM, (char *)"out of memory", NULL};

static char *vformat(const char *fmt, va_list ap) _printf_(1, 0);
static char *vformat(const char *fmt, va_list ap)
{
	char *s = NULL;

	return vasprintf(&s, fmt, ap) < 0 ? NULL : bg_redact(s);
}

/* Takes message, which may be NULL after a failed allocation. */
static int err_make(struct bg_err **err, enum bg_err_code code, int errnum, char *message)
{
	int r = errnum > 0 ? -errnum : -EINVAL;
	struct bg_err *e;

	if (!err) {
		free(message);
		return r;
	}
	assert(!*err);
	e = calloc(1, sizeof(*e));
	if (!e || !message) {
		free(e);
		free(message);
		*err = &out_of_memory;
		return r;
	}
	e->code = code;
	e->errnum = errnum;
	e->message = message;
	e->hint = codes[code].hint ? strdup(codes[code].hint) : NULL;
	*err = e;
	return r;
}

int bg_err_set(struct bg_err **err, enum bg_err_code code, int errnum, const char *fmt, ...)
{
	va_list ap;
	char *message;

	va_start(ap, fmt);
	message = vformat(fmt, ap);
	va_end(ap);
	return err_make(err, code, errnum, message);
}

int bg_err_sys(struct bg_err **err, enum bg_err_code code, int errnum, const char *fmt, ...)
{
	_free_ char *head = NULL;
	char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	head = vformat(fmt, ap);
	va_end(ap);
	if (head && asprintf(&message, "%s: %s", head, strerror(errnum)) < 0)
		message = NULL;
	return err_make(err, code, errnum, message);
}

void bg_err_context(struct bg_err **err, const char *fmt, ...)
{
	_free_ char *head = NULL;
	char *message = NULL;
	va_list ap;

	if (!err || !*err || *err == &out_of_memory)
		return;
	va_start(ap, fmt);
	head = vformat(fmt, ap);
	va_end(ap);
	if (!head || asprintf(&message, "%s: %s", head, (*err)->message) < 0)
		return;
	free((*err)->message);
	(*err)->message = message;
}

void bg_err_hint(struct bg_err **err, const char *fmt, ...)
{
	va_list ap;
	char *hint;

	if (!err || !*err || *err == &out_of_memory)
		return;
	va_start(ap, fmt);
	hint = vformat(fmt, ap);
	va_end(ap);
	free((*err)->hint);
	(*err)->hint = hint;
}

struct bg_err *bg_err_copy(const struct bg_err *err)
{
	struct bg_err *copy = NULL;

	if (!err)
		return NULL;
	err_make(&copy, err->code, err->errnum, strdup(err->message));
	if (copy != &out_of_memory) {
		free(copy->hint);
		copy->hint = err->hint ? strdup(err->hint) : NULL;
	}
	return copy;
}

void bg_err_free(struct bg_err *err)
{
	if (!err || err == &out_of_memory)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}

const char *bg_err_code_str(enum bg_err_code code)
{
	assert((unsigned)code < ARRAY_SIZE(codes));
	return codes[code].dotted;
}

int bg_err_code_http(enum bg_err_code code)
{
	assert((unsigned)code < ARRAY_SIZE(codes));
	return codes[code].http;
}

enum bg_exit bg_err_code_exit(enum bg_err_code code)
{
	assert((unsigned)code < ARRAY_SIZE(codes));
	return codes[code].exit;
}

enum bg_err_code bg_err_code_parse(const char *dotted)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (bg_streq(codes[i].dotted, dotted))
			return (enum bg_err_code)i;
	return BG_ERR_INTERNAL;
}
