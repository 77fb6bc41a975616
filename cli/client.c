/* SPDX-License-Identifier: ISC */
/*
 * client.c: One connection per call; the daemon is started only by calls that need it. What the
 * daemon answers as an error becomes a bg_err here and nowhere else.
 */
#include "cli/client.h"

#include <assert.h>
#include <time.h>

#include "cli/daemon_proc.h"
#include "cli/launch.h"
#include "cli/units.h"

enum { AGAIN_TRIES = 200 }; /* of 50 ms: the monitor looks after its socket every five seconds */

static const struct {
	const char *method, *path;
} routes[] = {
#define X(symbol, method_, path_, query, body, reply, summary) [ROUTE_##symbol] = {#method_, path_},
#include "common/http_routes.def"
#undef X
};
static_assert(ARRAY_SIZE(routes) == ROUTE_MAX_, "one row per route");

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("-._~", c);
}

/* Percent-encodes; names never need it, but what a peer sent back (ids) is not trusted to. */
static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++)
		if (unreserved(*s))
			fputc(*s, f);
		else
			fprintf(f, "%%%02X", (unsigned char)*s);
}

/* The route's path with {name} or {id} filled in; NULL when out of memory. */
static char *make_path(enum route route, const char *arg, const char *query)
{
	const char *path = routes[route].path, *open = strchr(path, '{');
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fwrite(path, 1, open ? (size_t)(open - path) : strlen(path), f);
	if (open) {
		assert(arg);
		put_escaped(f, arg);
		fputs(strchr(open, '}') + 1, f);
	}
	if (query)
		fprintf(f, "?%s", query);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool not_there(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* It runs, and its socket is not there: it is about to make it, or makes one anew that was removed. */
static int connect_again(struct cli *cli, struct bg_http **ret, struct bg_err **err)
{
	const struct timespec step = {.tv_nsec = 50000000};
	int r = -ENOENT;

	for (int i = 0; i < AGAIN_TRIES && not_there(r) && daemon_proc_pid(cli); i++) {
		(void)nanosleep(&step, NULL);
		bg_err_free(TAKE_PTR(*err));
		r = bg_http_connect(cli->paths.socket, ret, err);
	}
	return r;
}

static int launch_and_connect(struct cli *cli, struct bg_http **ret, struct bg_err **err)
{
	_err_ struct bg_err *why = NULL, *again = NULL;
	int r = launch_daemon(cli, &why);

	if (r >= 0)
		return bg_http_connect(cli->paths.socket, ret, err);
	if (why->code == BG_ERR_DAEMON_RUNNING && connect_again(cli, ret, &again) >= 0)
		return 0;
	if (err)
		*err = TAKE_PTR(why);
	return r;
}

static int connect_daemon(
	struct cli *cli, enum client_start start, struct bg_http **ret, struct bg_err **err)
{
	_err_ struct bg_err *first = NULL;
	/* A service manager that listens for it would start it. */
	bool would_start = start == CLIENT_NO_START && units_enabled(cli) && !daemon_proc_pid(cli);
	int r = would_start ? -ENOENT : bg_http_connect(cli->paths.socket, ret, &first);

	if (r < 0 && not_there(r) && daemon_proc_pid(cli))
		r = connect_again(cli, ret, &first);
	if (r < 0 && not_there(r) && start == CLIENT_START)
		return launch_and_connect(cli, ret, err);
	if (r < 0 && not_there(r)) {
		r = bg_err_set(err, BG_ERR_DAEMON_UNREACHABLE, -r, "the daemon is not running");
		bg_err_hint(err, "any other command starts it, so does `banger daemon start`");
		return r;
	}
	if (r < 0 && err)
		*err = TAKE_PTR(first);
	return r;
}

int client_wake(struct cli *cli, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;

	return connect_daemon(cli, CLIENT_START, &h, err);
}

int client_send(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const char *query, const json_t *body, struct bg_http **ret, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	_free_ char *path = make_path(route, arg, query);
	int r;

	if (!path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = connect_daemon(cli, start, &h, err);
	if (r >= 0)
		r = bg_http_send(h, routes[route].method, path, body, err);
	if (r >= 0)
		*ret = TAKE_PTR(h);
	return r;
}

static int read_error(struct bg_http *h, int status, struct bg_err **err)
{
	json_t *body = NULL;
	int r;

	(void)bg_http_next_json(h, &body, NULL);
	r = bg_http_error(status, body, err);
	json_decref(body);
	return r;
}

static int call_once(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const char *query, const json_t *body, json_t **ret, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	int status = 0, r;

	r = client_send(cli, start, route, arg, query, body, &h, err);
	if (r < 0)
		return r;
	bg_http_set_timeout(h, (int)bg_http_timeout_s() * 1000);
	r = bg_http_next_status(h, &status, err);
	if (r >= 0 && status >= 300)
		r = read_error(h, status, err);
	return r < 0 ? r : bg_http_next_json(h, ret, err);
}

/* A daemon that goes down takes connections to the end: what changes nothing is asked of the next.
 */
static int call(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const char *query, const json_t *body, json_t **ret, struct bg_err **err)
{
	_err_ struct bg_err *lost = NULL;
	int r = call_once(cli, start, route, arg, query, body, ret, &lost);

	if (r == -ECONNRESET && start == CLIENT_START && bg_streq(routes[route].method, "GET"))
		return call_once(cli, start, route, arg, query, body, ret, err);
	if (r < 0 && err)
		*err = TAKE_PTR(lost);
	return r;
}

int client_call(struct cli *cli, enum client_start start, enum route route, const char *arg,
	const json_t *body, json_t **ret, struct bg_err **err)
{
	return call(cli, start, route, arg, NULL, body, ret, err);
}

int client_ask(
	struct cli *cli, enum route route, const char *query, json_t **ret, struct bg_err **err)
{
	_err_ struct bg_err *refused = NULL;
	int r = call(cli, CLIENT_START, route, NULL, query, NULL, ret, &refused);

	/* An older daemon does not know the query, and gives more. */
	if (r < 0 && refused && refused->code == BG_ERR_BAD_REQUEST)
		return call(cli, CLIENT_START, route, NULL, NULL, NULL, ret, err);
	if (r < 0 && err)
		*err = TAKE_PTR(refused);
	return r;
}

int client_stream(struct cli *cli, enum route route, const char *arg, const char *query,
	struct bg_http **ret, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	int status = 0, r;

	r = client_send(cli, CLIENT_START, route, arg, query, NULL, &h, err);
	if (r >= 0) {
		bg_http_set_timeout(h, (int)bg_http_timeout_s() * 1000);
		r = bg_http_next_status(h, &status, err);
	}
	if (r >= 0 && status >= 300)
		r = read_error(h, status, err);
	if (r < 0)
		return r;
	bg_http_set_timeout(h, -1); /* what it streams may take its time */
	*ret = TAKE_PTR(h);
	return 0;
}

int client_upgrade(struct cli *cli, enum route route, const char *arg, const json_t *body,
	struct bg_http **ret, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	int status = 0, r;

	r = client_send(cli, CLIENT_START, route, arg, NULL, body, &h, err);
	if (r < 0)
		return r;
	bg_http_set_timeout(h, (int)bg_http_timeout_s() * 1000);
	r = bg_http_next_status(h, &status, err);
	if (r >= 0 && status != 101)
		r = read_error(h, status, err);
	if (r >= 0)
		*ret = TAKE_PTR(h);
	return r;
}
