/* SPDX-License-Identifier: ISC */
/* The parser on its own, fed whole and byte by byte, and the client over a real socket. */
#include "common/http_client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/http_parse.h"
#include "common/limits.h"
#include "tests/lib/test.h"

/* Feeds text in pieces; returns the first error, or what the end of the connection means. */
static int feed(
	const char *text, size_t len, size_t piece, struct bg_http_parser *p, struct bg_buf *body)
{
	int r = 0;

	bg_http_parser_init(p);
	for (size_t i = 0; i < len && r >= 0; i += piece)
		r = bg_http_parser_feed(p, text + i, BG_MIN(piece, len - i), body);
	return r < 0 ? r : bg_http_parser_eof(p);
}

static void check_parse(const char *text, int result, int status, const char *want)
{
	size_t len = strlen(text);

	for (size_t piece = 1; piece <= len; piece += piece < 8 ? 1 : len) {
		struct bg_http_parser p;
		struct bg_buf body = {0};
		int r = feed(text, len, piece, &p, &body);

		if (r != result)
			test_fail(__FILE__, __LINE__, "%d, not %d, for \"%s\"", r, result, text);
		if (r >= 0) {
			CHECK_INT(p.status, status);
			CHECK_INT(body.len, strlen(want));
			CHECK(body.len == 0 || memcmp(body.data, want, body.len) == 0);
		}
		bg_buf_done(&body);
		bg_http_parser_done(&p);
	}
}

#define OK "HTTP/1.1 200 OK\r\n"

TEST(parses_each_kind_of_body)
{
	check_parse(OK "Content-Length: 5\r\n\r\nhello", 0, 200, "hello");
	check_parse(OK "content-length:\t5 \r\n\r\nhello", 0, 200, "hello");
	check_parse(OK "Content-Length: 0\r\n\r\n", 0, 200, "");
	check_parse(OK
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00a;x=y\r\n0123456789\r\n0\r\n"
		"X: y\r\n\r\n",
		0, 200, "hello0123456789");
	check_parse(OK "\r\nuntil the end", 0, 200, "until the end");
	check_parse("HTTP/1.1 204 No Content\r\n\r\n", 0, 204, "");
	check_parse("HTTP/1.0 404\r\nContent-Length: 2\r\n\r\n{}", 0, 404, "{}");
}

TEST(refuses_what_is_no_answer)
{
	check_parse("HTTP/2.0 200 OK\r\n\r\n", -EPROTO, 0, "");
	check_parse("GET / HTTP/1.1\r\n\r\n", -EPROTO, 0, "");
	check_parse("HTTP/1.1 20 OK\r\n\r\n", -EPROTO, 0, "");
	check_parse("HTTP/1.1 2000 OK\r\n\r\n", -EPROTO, 0, "");
	check_parse("HTTP/1.1 100 Continue\r\n\r\n", -EPROTO, 0, "");
	check_parse("HTTP/1.1 600 X\r\n\r\n", -EPROTO, 0, "");
	check_parse("HTTP/1.1 200 OK\n\n", -EPROTO, 0, "");
	check_parse("\r\n" OK "\r\n", -EPROTO, 0, "");
	check_parse(OK "No colon\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK ": empty\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Blank : x\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "A: b\r\n folded\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "A: b\rc\r\n\r\n", -EPROTO, 0, "");
}

TEST(refuses_doubtful_lengths)
{
	check_parse(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", -EPROTO, 0, "");
	check_parse(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Transfer-Encoding: gzip\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Content-Length: -1\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Content-Length: +1\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Content-Length: 1 2\r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Content-Length: \r\n\r\n", -EPROTO, 0, "");
	check_parse(OK "Content-Length: 99999999999999999999\r\n\r\n", -EPROTO, 0, "");
}

#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

TEST(refuses_bad_chunks)
{
	check_parse(CHUNKED "\r\n", -EPROTO, 0, "");
	check_parse(CHUNKED "x\r\n", -EPROTO, 0, "");
	check_parse(CHUNKED "-1\r\n", -EPROTO, 0, "");
	check_parse(CHUNKED "1000000000000\r\n", -EPROTO, 0, "");
	check_parse(CHUNKED "5\r\nhello!\r\n", -EPROTO, 0, "");
	check_parse(CHUNKED "5 \r\nhello\r\n", -EPROTO, 0, "");
}

TEST(knows_what_is_cut_off)
{
	check_parse("HTTP/1.1 20", -EPIPE, 0, "");
	check_parse(OK "A: b\r\n", -EPIPE, 0, "");
	check_parse(OK "Content-Length: 5\r\n\r\nhell", -EPIPE, 0, "");
	check_parse(CHUNKED "5\r\nhello\r\n", -EPIPE, 0, "");
	check_parse(CHUNKED "0\r\n", -EPIPE, 0, "");
}

TEST(refuses_what_follows_the_end)
{
	check_parse(OK "Content-Length: 2\r\n\r\n{}x", -EPROTO, 0, "");
	check_parse(CHUNKED "0\r\n\r\nx", -EPROTO, 0, "");
	check_parse("HTTP/1.1 204 No Content\r\n\r\nx", -EPROTO, 0, "");
}

TEST(heads_are_bounded)
{
	struct bg_http_parser p;
	struct bg_buf body = {0};
	int r;

	bg_http_parser_init(&p);
	r = bg_http_parser_feed(&p, OK, strlen(OK), &body);
	for (int i = 0; r >= 0 && i < BG_HTTP_HEADER_MAX; i++)
		r = bg_http_parser_feed(&p, "A: b\r\n", 6, &body);
	CHECK_INT(r, -EMSGSIZE);
	CHECK_INT(bg_http_parser_feed(&p, "x", 1, &body), -EPROTO);
	bg_http_parser_done(&p);
}

TEST(chunk_lines_are_bounded_each)
{
	struct bg_http_parser p;
	struct bg_buf body = {0};
	int r;

	bg_http_parser_init(&p);
	r = bg_http_parser_feed(&p, CHUNKED, strlen(CHUNKED), &body);
	for (int i = 0; r >= 0 && i < BG_HTTP_HEADER_MAX; i++)
		r = bg_http_parser_feed(&p, "1\r\nx\r\n", 6, &body);
	CHECK_INT(r, 0);
	CHECK_INT(body.len, BG_HTTP_HEADER_MAX);
	for (int i = 0; r >= 0 && i <= BG_HTTP_HEADER_MAX; i++)
		r = bg_http_parser_feed(&p, "0", 1, &body);
	CHECK_INT(r, -EMSGSIZE);
	bg_buf_done(&body);
	bg_http_parser_done(&p);
}

/* A server for one connection in a child: takes a request's bytes, answers with text, hangs up. */
static const char *serve(const char *text, const char *want)
{
	static char path[128];
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char buf[4096] = "";
	int listener, fd;

	snprintf(path, sizeof(path), "%s/s", test_tmpdir());
	strcpy(sun.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (const struct sockaddr *)&sun, sizeof(sun)) >= 0);
	CHECK(listen(listener, 1) >= 0);
	if (fork() > 0) {
		close(listener);
		return path;
	}
	fd = accept(listener, NULL, NULL);
	while (!strstr(buf, want)) {
		size_t len = strlen(buf);
		ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);

		if (n <= 0)
			_exit(1);
	}
	(void)bg_write_all(fd, text, strlen(text));
	_exit(0);
}

static void request_was_good(void)
{
	int status = 0;

	CHECK(wait(&status) > 0);
	CHECK_INT(status, 0);
}

TEST(a_whole_exchange)
{
	const char *path = serve(OK "Content-Length: 9\r\n\r\n{\"b\": 2}\n",
		"POST /v1/vms HTTP/1.1\r\nHost: banger\r\nConnection: close\r\n"
		"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
	_unref_(bg_http) struct bg_http *h = NULL;
	json_t *body = json_pack("{s:i}", "a", 1), *reply = NULL;
	int status = 0;

	CHECK_INT(bg_http_connect(path, &h, NULL), 0);
	CHECK_INT(bg_http_send(h, "POST", "/v1/vms", body, NULL), 0);
	CHECK_INT(bg_http_next_status(h, &status, NULL), 0);
	CHECK_INT(status, 200);
	CHECK_INT(bg_http_next_json(h, &reply, NULL), 0);
	CHECK_INT(json_integer_value(json_object_get(reply, "b")), 2);
	json_decref(body);
	json_decref(reply);
	request_was_good();
}

/* Whether a line was there. */
static bool take_line(struct bg_http *h, json_t **line)
{
	CHECK_INT(bg_http_take_line(h, line, NULL), 0);
	return *line != NULL;
}

TEST(lines_of_a_stream)
{
	const char *path =
		serve(CHUNKED "3\r\n{\"a\r\n9\r\n\": 1}\n\n\n{\r\n2\r\n}\n\r\n3\r\n[2]\r\n"
			      "0\r\n\r\n",
			"GET /e HTTP/1.1\r\nHost: banger\r\nConnection: close\r\n\r\n");
	_unref_(bg_http) struct bg_http *h = NULL;
	int lines = 0;

	CHECK_INT(bg_http_connect(path, &h, NULL), 0);
	CHECK_INT(bg_http_send(h, "GET", "/e", NULL, NULL), 0);
	while (!bg_http_ended(h)) {
		json_t *line = NULL;

		CHECK_INT(bg_http_pump(h, NULL), 0);
		while (take_line(h, &line)) {
			lines++;
			json_decref(line);
		}
	}
	CHECK_INT(lines, 3);
	request_was_good();
}

TEST(nobody_there)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	_err_ struct bg_err *err = NULL, *stale = NULL;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/none", test_tmpdir());
	CHECK_INT(bg_http_connect(path, &h, &err), -ENOENT);
	CHECK_INT(err->code, BG_ERR_DAEMON_UNREACHABLE);
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) >= 0);
	close(fd);
	CHECK_INT(bg_http_connect(path, &h, &stale), -ECONNREFUSED);
}

TEST(errors_come_through)
{
	_err_ struct bg_err *err = NULL, *none = NULL;
	json_t *body = json_pack("{s:{s:s, s:s, s:s, s:i}}", "error", "code", "vm.not_found",
		"message", "no VM", "hint", "look", "exit", 3);

	CHECK(bg_http_error(404, body, &err) < 0);
	CHECK_INT(err->code, BG_ERR_VM_NOT_FOUND);
	CHECK_STR(err->message, "no VM");
	CHECK_STR(err->hint, "look");
	CHECK(bg_http_error(500, NULL, &none) < 0);
	CHECK_STR(none->message, "the daemon answered with HTTP status 500");
	json_decref(body);
}

TEST(waiting_has_an_end)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	_err_ struct bg_err *err = NULL;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, status = 0;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", test_tmpdir());
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) >= 0);
	CHECK(listen(fd, 1) >= 0);
	CHECK_INT(bg_http_connect(sun.sun_path, &h, NULL), 0);
	bg_http_set_timeout(h, 1);
	CHECK_INT(bg_http_next_status(h, &status, &err), -ETIMEDOUT);
	CHECK_INT(err->code, BG_ERR_TIMEOUT);
	close(fd);
}
