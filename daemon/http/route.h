/* SPDX-License-Identifier: ISC */
/* route.h: finds the row of common/http_routes.def that a request means. Knows no evhttp; used by
 * http.c. */
#ifndef BG_DAEMON_HTTP_ROUTE_H
#define BG_DAEMON_HTTP_ROUTE_H

#include "common/limits.h"
#include "daemon/http/http.h"

struct route {
	const char *symbol; /* for logs */
	enum http_method method;
	const char *path;  /* "/v1/vms/{name}/start" */
	const char *query; /* schema of what may be asked; "": nothing */
	const char *body;  /* schema of what it takes; "": none */
	http_handler run;
};

/* The rows that are served, before the first request; kept as they are. */
void routes_bind(const struct route *rows, size_t n);

struct route_match {
	const struct route *route;
	char arg[BG_NAME_MAX + 1]; /* decoded and valid; empty when the route has none */
};

/*
 * raw_path: as it came, percent-encoded. NO_ROUTE, METHOD (with the methods that would do in
 * allow), NAME_INVALID, or OP_NOT_FOUND for an id that is not a number.
 */
int route_find(enum http_method method, const char *raw_path, struct route_match *ret,
	char allow[32], struct bg_err **err);
bool route_takes_query(const struct route *route, const char *name);

#endif
