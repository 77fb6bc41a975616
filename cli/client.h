/* SPDX-License-Identifier: ISC */
/*
 * client.h: the API as the commands call it: routes by symbol, the daemon
 * started when it is not there, error answers made into bg_err.
 */
#ifndef BG_CLI_CLIENT_H
#define BG_CLI_CLIENT_H

#include "cli/cli.h"
#include "common/http_client.h"

enum route {
#define X(symbol, method, path, query, body, reply, summary) ROUTE_##symbol,
#include "common/http_routes.def"
#undef X
	ROUTE_MAX_
};

enum client_start {
	CLIENT_START, /* start the daemon when it is not there */
	CLIENT_NO_START
};

/* Sees that the daemon is there, starting it when it is not. */
int client_wake(struct cli *cli, struct bg_err **err);
/*
 * Connects and sends; the answer is not waited for. arg fills {name} or {id} of the route,
 * query ("log=vmm&follow=1") may be NULL.
 */
int client_send(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const char *query, const json_t *body, struct bg_http **ret, struct bg_err **err);
/* Sends and waits for the whole answer, *ret a new reference. At most bg_http_timeout_s(). */
int client_call(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const json_t *body, json_t **ret, struct bg_err **err);
/* Asks with a query ("brief=1"), or without it where the daemon does not know it. */
int client_ask(
	struct cli *cli, enum route route, const char *query, json_t **ret, struct bg_err **err);
/* Sends and waits until the answer's head says that a stream follows. */
int client_stream(struct cli *cli, enum route route, const char *arg, const char *query,
	struct bg_http **ret, struct bg_err **err);
/* Sends and waits for 101: bg_http_fd of *ret is then written to freely, what comes is its raw body. */
int client_upgrade(struct cli *cli, enum route route, const char *arg, const json_t *body,
	struct bg_http **ret, struct bg_err **err);

#endif
