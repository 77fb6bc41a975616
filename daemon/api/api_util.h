/* SPDX-License-Identifier: ISC */
/* api_util.h: what the handlers of api/ share. */
#ifndef BG_DAEMON_API_API_UTIL_H
#define BG_DAEMON_API_API_UTIL_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/http/http.h"

struct engine;
struct op;

/*
 * What a body has, which common/api_fields.def has checked by now: a string or NULL, a number, a flag; the fallback when it is
 * absent.
 */
const char *api_str(const json_t *body, const char *key);
int64_t api_int(const json_t *body, const char *key, int64_t fallback);
bool api_bool(const json_t *body, const char *key, bool fallback);
/* A query parameter that says yes; NULL is no. */
bool api_is_on(const char *word);

/* 202 with the operation, or the error (taken) when op is NULL. Ends the call. */
void api_reply_op(struct http_call *call, struct op *op, struct bg_err *err);
/* {"at", "vms": [usage]}: what the running VMs use now. */
json_t *api_usage_list(struct engine *engine);
/* The record of the VMM that new VMs get, or null. */
json_t *api_vmm_json(const struct engine *engine);

#endif
