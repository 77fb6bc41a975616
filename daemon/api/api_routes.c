/* SPDX-License-Identifier: ISC */
/* api_routes.c: the rows of common/http_routes.def with their handlers, for daemon/http, which knows none. */
#include "daemon/api/api.h"
#include "daemon/http/route.h"

static const struct route routes[] = {
#define X(sym, method_, path_, query_, body_, reply, summary)                                      \
	{#sym, HTTP_##method_, path_, query_, body_, api_##sym},
#include "common/http_routes.def"
#undef X
};

void api_routes_bind(void)
{
	routes_bind(routes, ARRAY_SIZE(routes));
}
