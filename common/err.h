/* SPDX-License-Identifier: ISC */
/*
 * err.h: the one error object. It is made by the layer that knows the names
 * involved, gains context on its way out, crosses the API as JSON and reaches
 * the terminal unchanged.
 *
 * Convention:  int f(in..., T **ret, struct bg_err **err)
 * returns 0 or -errno; *ret is set only on success, *err only on failure.
 * err may be NULL when the caller does not care. Leaf code returns -errno only.
 */
#ifndef BG_COMMON_ERR_H
#define BG_COMMON_ERR_H

#include <stdarg.h>

#include "common/base.h"

/* One row per code: common/err_codes.def. */
enum bg_err_code {
#define X(sym, dotted, http, exit, hint) BG_ERR_##sym,
#include "common/err_codes.def"
#undef X
	BG_ERR_MAX_
};

/* Exit statuses of every banger command; README and --help show this table. */
enum bg_exit {
	BG_EXIT_OK = 0,
	BG_EXIT_FAILED = 1,    /* it was tried and failed */
	BG_EXIT_USAGE = 2,     /* the command line or a value is wrong */
	BG_EXIT_NOT_FOUND = 3, /* no such VM, image, kernel, operation */
	BG_EXIT_CONFLICT = 4,  /* taken, in use, or in the wrong state */
	BG_EXIT_HOST = 5,      /* the host lacks a tool, device, right or room */
	BG_EXIT_TIMEOUT = 6,   /* it did not become ready in time */
	BG_EXIT_DAEMON = 7,    /* the daemon cannot be reached or started */
	/* of vm exec, beside the command's own: */
	BG_EXIT_EXEC_TIMEOUT = 124, /* the command did not end in its --timeout */
	/* user or folder of the command are not there; 126, 127: as a shell has them */
	BG_EXIT_NO_EXEC = 125,
	BG_EXIT_CANCELLED = 130, /* interrupted or cancelled */
	BG_EXIT_LOST = 255	 /* the session was lost before the command's status was known */
};

struct bg_err {
	enum bg_err_code code;
	int errnum;    /* positive errno, 0 when none applies */
	char *message; /* what failed, with the names involved; never NULL */
	char *hint;    /* the one thing the user can do; NULL when there is none */
};

/*
 * Makes *err (replacing nothing: *err must be NULL or err NULL) and returns
 * -errnum, or -EINVAL when errnum is 0. The hint starts as the code's default.
 */
int bg_err_set(struct bg_err **err, enum bg_err_code code, int errnum, const char *fmt, ...)
	_printf_(4, 5);
/* As bg_err_set, with strerror(errnum) appended: "…: No space left on device". */
int bg_err_sys(struct bg_err **err, enum bg_err_code code, int errnum, const char *fmt, ...)
	_printf_(4, 5);
/* Puts "context: " before the message. Does nothing when there is no error. */
void bg_err_context(struct bg_err **err, const char *fmt, ...) _printf_(2, 3);
/* Replaces the hint. Does nothing when there is no error. */
void bg_err_hint(struct bg_err **err, const char *fmt, ...) _printf_(2, 3);

struct bg_err *bg_err_copy(const struct bg_err *err);
void bg_err_free(struct bg_err *err);
BG_DEFINE_UNREF(bg_err, struct bg_err *, bg_err_free)
#define _err_ _unref_(bg_err)

/* The dotted, stable code ("vm.name_taken"), the HTTP status, the exit status. */
const char *bg_err_code_str(enum bg_err_code code);
int bg_err_code_http(enum bg_err_code code);
enum bg_exit bg_err_code_exit(enum bg_err_code code);
/* BG_ERR_INTERNAL for a code this build does not know. */
enum bg_err_code bg_err_code_parse(const char *dotted);

#endif
