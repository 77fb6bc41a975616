/* SPDX-License-Identifier: ISC */
/*
 * http_client.c: A connection per request. Waits are poll() with the deadline of the whole
 * request, not of one read.
 */
#include "common/http_client.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"
#include "common/http_parse.h"
#include "common/json.h"
#include "common/limits.h"

struct bg_http {
	int fd;
	int timeout_ms;
	bool eof;
	struct bg_http_parser parser;
	struct bg_buf body; /* decoded, not yet taken */
	size_t taken;	    /* bytes at its start that were handed out */
};

enum { READ_SIZE = 64 * 1024, TIMEOUT_S = 30, TIMEOUT_MAX_S = 3600 };

unsigned bg_http_timeout_s(void)
{
	const char *text = getenv("BANGER_TIMEOUT");
	unsigned long s =
		text && strspn(text, "0123456789") == strlen(text) ? strtoul(text, NULL, 10) : 0;

	return s >= 1 && s <= TIMEOUT_MAX_S ? (unsigned)s : TIMEOUT_S;
}

/* A daemon that hangs takes no calls once its queue is full, and reads none. */
static int set_send_limit(int fd, unsigned seconds)
{
	const struct timeval limit = {.tv_sec = seconds};

	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ? -errno : 0;
}

static int no_answer(const char *what, unsigned seconds, struct bg_err **err)
{
	bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT, "the daemon %s within %u s", what, seconds);
	bg_err_hint(err, BG_HTTP_HANGS);
	return -ETIMEDOUT;
}

int bg_http_no_answer(struct bg_err **err)
{
	return no_answer("did not answer", bg_http_timeout_s(), err);
}

static int went_away(int errnum, struct bg_err **err)
{
	return bg_err_sys(err, BG_ERR_DAEMON_UNREACHABLE, errnum, "the daemon went away");
}

static int dial(const char *socket_path, int flags, struct bg_http **ret, struct bg_err **err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	_unref_(bg_http) struct bg_http *h = calloc(1, sizeof(*h));

	if (!h)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	h->timeout_ms = -1;
	bg_http_parser_init(&h->parser);
	h->fd = -1;
	if (strlen(socket_path) > BG_SUN_PATH_MAX)
		return bg_err_set(err, BG_ERR_CONFIG, ENAMETOOLONG, "%s is too long for a socket",
			socket_path);
	strcpy(sun.sun_path, socket_path);
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (h->fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a socket");
	(void)set_send_limit(h->fd, bg_http_timeout_s());
	if (connect(h->fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0)
		return errno == EAGAIN ? no_answer("took no call", bg_http_timeout_s(), err)
				       : bg_err_sys(err, BG_ERR_DAEMON_UNREACHABLE, errno,
						 "the daemon does not answer on %s", socket_path);
	*ret = TAKE_PTR(h);
	return 0;
}

int bg_http_connect(const char *socket_path, struct bg_http **ret, struct bg_err **err)
{
	return dial(socket_path, 0, ret, err);
}

int bg_http_connect_now(const char *socket_path, struct bg_http **ret, struct bg_err **err)
{
	return dial(socket_path, SOCK_NONBLOCK, ret, err);
}

void bg_http_free(struct bg_http *h)
{
	if (!h)
		return;
	bg_close(h->fd);
	bg_http_parser_done(&h->parser);
	bg_buf_done(&h->body);
	free(h);
}

static int send_all(struct bg_http *h, const char *data, size_t len, struct bg_err **err)
{
	while (len > 0) {
		ssize_t n = send(h->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* It may have answered (413, 403) and closed without reading: the answer counts. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0 && errno == EAGAIN)
			return no_answer("did not read the call", bg_http_timeout_s(), err);
		if (n < 0)
			return went_away(errno, err);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int bg_http_send(struct bg_http *h, const char *method, const char *path, const json_t *body,
	struct bg_err **err)
{
	_free_ char *text = NULL, *head = NULL;
	int n, r;

	if (body) {
		text = json_dumps(body, JSON_COMPACT);
		if (!text)
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		n = asprintf(&head,
			"%s %s HTTP/1.1\r\nHost: banger\r\nConnection: close\r\n"
			"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			method, path, strlen(text));
	} else {
		n = asprintf(&head, "%s %s HTTP/1.1\r\nHost: banger\r\nConnection: close\r\n%s\r\n",
			method, path, bg_streq(method, "POST") ? "Content-Length: 0\r\n" : "");
	}
	if (n < 0) {
		head = NULL;
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = send_all(h, head, (size_t)n, err);
	if (r >= 0 && text)
		r = send_all(h, text, strlen(text), err);
	(void)set_send_limit(h->fd, 0); /* what follows an upgrade has no such limit */
	return r;
}

int bg_http_fd(const struct bg_http *h)
{
	return h->fd;
}

int bg_http_status(const struct bg_http *h)
{
	return bg_http_parser_has_head(&h->parser) ? h->parser.status : 0;
}

bool bg_http_ended(const struct bg_http *h)
{
	return h->parser.state == BG_HTTP_DONE;
}

void bg_http_set_timeout(struct bg_http *h, int ms)
{
	h->timeout_ms = ms;
}

static int bad_answer(int r, struct bg_err **err)
{
	if (r == -ENOMEM)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_err_set(err, BG_ERR_DAEMON_UNREACHABLE, -r, "the daemon's answer makes no sense%s",
		r == -EMSGSIZE ? ": it is too long" : "");
	bg_err_hint(
		err, "CLI and daemon may differ in version: `banger daemon stop`, then try again");
	return r;
}

int bg_http_pump(struct bg_http *h, struct bg_err **err)
{
	char buf[READ_SIZE];
	ssize_t n;
	int r;

	do {
		n = read(h->fd, buf, sizeof(buf));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0; /* of bg_http_connect_now */
	if (n < 0)
		return went_away(errno, err);
	if (n == 0) {
		h->eof = true;
		return bg_http_parser_eof(&h->parser) < 0 ? went_away(ECONNRESET, err) : 0;
	}
	r = bg_http_parser_feed(&h->parser, buf, (size_t)n, &h->body);
	return r < 0 ? bad_answer(r, err) : 0;
}

static int wait_and_pump(struct bg_http *h, struct bg_err **err)
{
	struct pollfd pfd = {.fd = h->fd, .events = POLLIN};
	int n;

	do {
		n = poll(&pfd, 1, h->timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return no_answer("did not answer", (unsigned)h->timeout_ms / 1000, err);
	return bg_http_pump(h, err);
}

int bg_http_next_status(struct bg_http *h, int *ret, struct bg_err **err)
{
	int r = 0;

	while (r >= 0 && !bg_http_parser_has_head(&h->parser))
		r = wait_and_pump(h, err);
	if (r < 0)
		return r;
	*ret = h->parser.status;
	return 0;
}

/* Forgets what was handed out by the last take. */
static void drop_taken(struct bg_http *h)
{
	bg_buf_drop(&h->body, h->taken);
	h->taken = 0;
}

static int parse_json(const char *text, size_t len, json_t **ret, struct bg_err **err)
{
	json_error_t e;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

	if (!j)
		return bad_answer(-EPROTO, err);
	*ret = j;
	return 0;
}

int bg_http_next_json(struct bg_http *h, json_t **ret, struct bg_err **err)
{
	int r = 0;

	drop_taken(h);
	while (r >= 0 && !bg_http_ended(h)) {
		r = wait_and_pump(h, err);
		if (r >= 0 && h->body.len > BG_HTTP_REPLY_MAX)
			r = bad_answer(-EMSGSIZE, err);
	}
	return r < 0 ? r : parse_json(h->body.data ? h->body.data : "", h->body.len, ret, err);
}

/* The next line's length (with its end in *whole); false while none is complete. */
static bool find_line(const struct bg_http *h, size_t *len, size_t *whole)
{
	const char *start = h->body.data + h->taken;
	size_t left = h->body.len - h->taken;
	const char *nl = left ? memchr(start, '\n', left) : NULL;

	if (!nl && !(bg_http_ended(h) && left))
		return false;
	*len = nl ? (size_t)(nl - start) : left;
	*whole = nl ? *len + 1 : left;
	return true;
}

int bg_http_take_line(struct bg_http *h, json_t **ret, struct bg_err **err)
{
	size_t len = 0, whole = 0;

	*ret = NULL;
	while (find_line(h, &len, &whole)) {
		const char *line = h->body.data + h->taken;

		h->taken += whole;
		if (len > 0) /* an empty line only says that the peer is there */
			return parse_json(line, len, ret, err);
	}
	drop_taken(h);
	return h->body.len > BG_HTTP_BODY_MAX ? bad_answer(-EMSGSIZE, err) : 0;
}

void bg_http_take_raw(struct bg_http *h, const char **data, size_t *len)
{
	drop_taken(h);
	*data = h->body.data;
	*len = h->body.len;
	h->taken = h->body.len;
}

int bg_http_next_raw(struct bg_http *h, const char **data, size_t *len, struct bg_err **err)
{
	int r = 0;

	drop_taken(h);
	while (r >= 0 && h->body.len == 0 && !bg_http_ended(h))
		r = wait_and_pump(h, err);
	if (r >= 0)
		bg_http_take_raw(h, data, len);
	return r;
}

int bg_http_error(int status, const json_t *body, struct bg_err **err)
{
	const json_t *e = NULL;

	if (bg_json_get_obj(body, "error", &e) >= 0)
		return bg_err_from_json(e, err);
	return bg_err_set(err, status == 404 ? BG_ERR_NO_ROUTE : BG_ERR_INTERNAL, EPROTO,
		"the daemon answered with HTTP status %d", status);
}
