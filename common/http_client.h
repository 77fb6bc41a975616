/* SPDX-License-Identifier: ISC */
/*
 * http_client.h: a small HTTP/1.1 client over a unix socket, for CLI and TUI:
 * one connection per request, JSON bodies, answers whole, by line or raw. The
 * calls named _next_ block; bg_http_pump with poll() on bg_http_fd serves many
 * answers at once. Owns its fd and buffers; never starts a daemon, never prints.
 */
#ifndef BG_COMMON_HTTP_CLIENT_H
#define BG_COMMON_HTTP_CLIENT_H

#include <jansson.h>

#include "common/err.h"

struct bg_http;

/* Connects. A missing or refusing socket is DAEMON_UNREACHABLE with -ENOENT or -ECONNREFUSED. */
int bg_http_connect(const char *socket, struct bg_http **ret, struct bg_err **err);
/*
 * The same without any wait, now and later: TIMEOUT when the daemon's queue is full, sending fails when it does not read, and
 * bg_http_pump does nothing when nothing is there. For event loops; not for the calls named _next_.
 */
int bg_http_connect_now(const char *socket, struct bg_http **ret, struct bg_err **err);
void bg_http_free(struct bg_http *h);
BG_DEFINE_UNREF(bg_http, struct bg_http *, bg_http_free)

/* Sends the only request of this connection; body may be NULL. May block. */
int bg_http_send(struct bg_http *h, const char *method, const char *path, const json_t *body,
	struct bg_err **err);

/* For poll(POLLIN). */
int bg_http_fd(const struct bg_http *h);
/* One read and what follows of it; blocks only when fd has nothing. */
int bg_http_pump(struct bg_http *h, struct bg_err **err);
/* 0 until the head is in. */
int bg_http_status(const struct bg_http *h);
/* The whole answer is in (body bytes may still be unread). */
bool bg_http_ended(const struct bg_http *h);
/* Seconds that the daemon may take for one answer: 30, or what BANGER_TIMEOUT says. */
unsigned bg_http_timeout_s(void);
/* The hint of a daemon that did not answer in that time, and the error. */
#define BG_HTTP_HANGS "when it hangs, `banger daemon restart --force` helps"
int bg_http_no_answer(struct bg_err **err);
/* How long one wait may last; -1, the default, is for ever. TIMEOUT after that. */
void bg_http_set_timeout(struct bg_http *h, int ms);

/* Waits for the head. */
int bg_http_next_status(struct bg_http *h, int *ret, struct bg_err **err);
/* The whole body as JSON, at most BG_HTTP_REPLY_MAX bytes; a new reference. */
int bg_http_next_json(struct bg_http *h, json_t **ret, struct bg_err **err);
/* A line that is already here, as JSON: *ret NULL when there is none yet. Does not block. */
int bg_http_take_line(struct bg_http *h, json_t **ret, struct bg_err **err);
/* The body that is already here: *data stays valid until the next call; *len may be 0. */
void bg_http_take_raw(struct bg_http *h, const char **data, size_t *len);
/* As take_raw, after waiting for some: *len 0 is the end. */
int bg_http_next_raw(struct bg_http *h, const char **data, size_t *len, struct bg_err **err);

/*
 * What an answer of status >= 400 says: makes *err from {"error": {...}} and returns -errno.
 * body may be anything.
 */
int bg_http_error(int status, const json_t *body, struct bg_err **err);

#endif
