/* SPDX-License-Identifier: ISC */
/* api_util.h: what the handlers of api/ share. */
#ifndef API_UTIL_H
#define API_UTIL_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/http/http.h"

struct op;

/* BAD_REQUEST naming the first field of body that the NULL-terminated list lacks. */
int api_only_fields(const json_t *body, const char *const *fields, struct bg_err **err);
/* 202 with the operation, or the error (taken) when op is NULL. Ends the call. */
void api_reply_op(struct http_call *call, struct op *op, struct bg_err *err);

#endif
