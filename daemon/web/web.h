/* SPDX-License-Identifier: ISC */
/*
 * web.h: the page on 127.0.0.1 (docs/web.md). A client of the API like any other: what it shows and does goes through http_ask, so that
 * curl can do the same on the unix socket. It owns its listening socket, its sessions and its streams of events; it knows no VM.
 */
#ifndef BG_DAEMON_WEB_WEB_H
#define BG_DAEMON_WEB_WEB_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"

struct engine;
struct web;

/* A busy port is not a failure: web_to_json says so, and there is no page. NULL in *ret when config turns the page off. */
int web_new(struct engine *engine, struct web **ret, struct bg_err **err);
/* Drops every connection. What the API still owes the page comes to nothing. */
void web_stop(struct web *web);
/* After everything that may still answer a call of the page. */
void web_free(struct web *web);
BG_DEFINE_UNREF(web, struct web *, web_free)

/* Calls not yet answered, as http_busy. */
unsigned web_busy(const struct web *web);
/* {"address", "url", "error", "sessions"}; web may be NULL: address is null then. */
json_t *web_to_json(const struct web *web);
/* The web_token record: {"url", "port", "expires_s"}. Refused when there is no page. */
int web_link(struct web *web, json_t **ret, struct bg_err **err);
/* How many sessions were ended; their streams end too. */
unsigned web_sign_out_all(struct web *web);

#endif
