/* SPDX-License-Identifier: ISC */
/* api_util.h: what the handlers of api/ share. */
#ifndef API_UTIL_H
#define API_UTIL_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/http/http.h"

struct engine;
struct op;

/* BAD_REQUEST naming the first field of body that the NULL-terminated list lacks. */
int api_only_fields(const json_t *body, const char *const *fields, struct bg_err **err);
/* 202 with the operation, or the error (taken) when op is NULL. Ends the call. */
void api_reply_op(struct http_call *call, struct op *op, struct bg_err *err);
/* {"at", "vms": [usage]}: what the running VMs use now. */
json_t *api_usage_list(struct engine *engine);
/* A query parameter that is a number: *ret stays when it is not there; BAD_REQUEST outside of min to max. */
int api_query_int(const struct http_call *call, const char *name, int64_t min, int64_t max,
	int64_t *ret, struct bg_err **err);

/* {"at", "vms": [usage]}: what the running VMs use now. */
json_t *api_usage_list(struct engine *engine);
/* A query parameter that says yes; NULL is no. */
bool api_is_on(const char *word);
/* A query parameter that is a number: *ret stays when it is not there; BAD_REQUEST outside of min to max. */
int api_query_int(const struct http_call *call, const char *name, int64_t min, int64_t max,
	int64_t *ret, struct bg_err **err);

#endif
