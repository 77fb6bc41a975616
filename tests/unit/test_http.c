/* SPDX-License-Identifier: ISC */
/* daemon/http over a real socket: a plain client, and the server of http_played.h. */
#include "daemon/http/http.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "daemon/api/api.h"
#include "daemon/loop/loop.h"
#include "tests/lib/test.h"
#include "tests/unit/http_played.h"

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&played.addr, sizeof(played.addr)), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	CHECK_INT(bg_write_all(fd, text, strlen(text)), 0);
}

struct answer {
	int status;
	char head[4096];
	char body[8192];
};

static void read_head(int fd, struct answer *a)
{
	size_t n = 0;

	while (n < 4 || memcmp(a->head + n - 4, "\r\n\r\n", 4) != 0) {
		CHECK(n < sizeof(a->head) - 1);
		CHECK_INT(read(fd, a->head + n, 1), 1);
		a->head[++n] = '\0';
	}
	CHECK_INT(sscanf(a->head, "HTTP/1.1 %d", &a->status), 1);
}

static struct answer read_answer(int fd)
{
	static struct answer a;
	const char *p;
	size_t len;

	read_head(fd, &a);
	p = strcasestr(a.head, "Content-Length: ");
	CHECK(p);
	len = strtoul(p + 16, NULL, 10);
	CHECK(len < sizeof(a.body));
	CHECK_INT(bg_read_exact(fd, a.body, len), 0);
	a.body[len] = '\0';
	return a;
}

static struct answer ask(int fd, const char *method, const char *path, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"%s %s HTTP/1.1\r\nHost: banger\r\nContent-Length: %zu\r\n\r\n%s", method, path,
		strlen(body), body);
	send_text(fd, text);
	return read_answer(fd);
}

static void expect(
	const char *method, const char *path, const char *body, int status, const char *words)
{
	int fd = dial();
	struct answer a = ask(fd, method, path, body);
	json_t *j = json_loads(a.body, 0, NULL);

	if (a.status != status || !strstr(a.body, words))
		test_fail(__FILE__, __LINE__, "%s %s %s: %d %s", method, path, body, a.status,
			a.body);
	CHECK(j);
	CHECK(strstr(a.head, "Content-Type: application/json"));
	json_decref(j);
	close(fd);
}

static void expect_report(const char *want)
{
	char got[64] = "";

	CHECK(strlen(want) < sizeof(got));
	CHECK_INT(bg_read_exact(played.reports, got, strlen(want)), 0);
	CHECK_STR(got, want);
}

static void stop_server(void)
{
	int status;

	expect("POST", "/v1/daemon/stop", "", 200, "DAEMON_STOP");
	CHECK_INT(waitpid(played.pid, &status, 0), played.pid);
	CHECK_INT(status, 0);
}

TEST(routes_find_their_handlers)
{
	played_http_start();
	expect("GET", "/v1/daemon", "", 200,
		"{\"symbol\":\"DAEMON_STATUS\",\"arg\":null,\"body\":{}}");
	expect("GET", "/v1/vms", "", 200, "\"VM_LIST\"");
	expect("POST", "/v1/vms", "{\"name\":\"a\"}", 200,
		"\"VM_CREATE\",\"arg\":null,\"body\":{\"name\":\"a\"}");
	expect("GET", "/v1/vms/alpha", "", 200, "\"VM_SHOW\",\"arg\":\"alpha\"");
	expect("GET", "/v1/vms/%61lph%61", "", 200, "\"arg\":\"alpha\"");
	expect("POST", "/v1/images/build", "{\"name\":\"a\"}", 200, "\"IMAGE_BUILD\"");
	expect("GET", "/v1/images/build", "", 200, "\"IMAGE_SHOW\",\"arg\":\"build\"");
	expect("DELETE", "/v1/operations/17", "", 200, "\"OP_CANCEL\",\"arg\":\"17\"");
	stop_server();
}

/* A VMM that got to the socket has our uid; its process number is known. */
TEST(a_barred_process_is_refused)
{
	pid_t other;
	int status;

	played.barred_pid = getpid();
	played_http_start();
	played.barred_pid = 0;
	expect("GET", "/v1/vms", "", 403, "request.forbidden");
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		expect("GET", "/v1/vms", "", 200, "\"VM_LIST\"");
		expect("POST", "/v1/daemon/stop", "", 200, "DAEMON_STOP");
		exit(0);
	}
	CHECK_INT(waitpid(other, &status, 0), other);
	CHECK_INT(status, 0);
	CHECK_INT(waitpid(played.pid, &status, 0), played.pid);
	CHECK_INT(status, 0);
}

TEST(errors_are_objects)
{
	played_http_start();
	expect("DELETE", "/v1/vms/alpha", "", 404,
		"{\"error\":{\"code\":\"vm.not_found\",\"message\":\"no VM "
		"\\\"alpha\\\"\",\"hint\":\"`banger");
	expect("DELETE", "/v1/vms/alpha", "", 404, "\"exit\":3}}");
	stop_server();
}

TEST(wrong_requests_are_refused)
{
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *words;
	} rows[] = {
		{"GET", "/", "", 404, "request.no_route"},
		{"GET", "/v1/vms/", "", 400, "name.invalid"},
		{"GET", "/v1/vms/a/b", "", 404, "request.no_route"},
		{"GET", "/v2/vms", "", 404, "there is no /v2/vms"},
		{"PUT", "/v1/vms", "", 405, "/v1/vms takes GET, POST"},
		{"DELETE", "/v1/daemon", "", 405, "request.method"},
		{"GET", "/v1/vms/UPPER", "", 400, "name.invalid"},
		{"GET", "/v1/vms/..%2f..", "", 400, "name.invalid"},
		{"GET", "/v1/vms/a%00b", "", 400, "%-escape"},
		{"GET", "/v1/vms/a%4", "", 400, "%-escape"},
		{"GET", "/v1/vms/a%zz", "", 400, "%-escape"},
		{"GET", "/v1/vms/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", 400,
			"name.invalid"},
		{"GET", "/v1/operations/x", "", 404, "operation.not_found"},
		{"GET", "/v1/operations/1234567890123456789", "", 404, "operation.not_found"},
		{"GET", "/v1/vms?x=1", "", 400, "no query parameter"},
		{"GET", "/v1/vms/a/logs?log=vmm&tail=1&log=vmm", "", 400, "given twice"},
		{"GET", "/v1/vms/a/logs?log=x", "", 400, "\"log\\\" is not one of serial|vmm"},
		{"GET", "/v1/vms/a/logs?tail=0", "", 400, "whole number from 1"},
		{"GET", "/v1/vms/a/logs?tail=-5", "", 400, "whole number from 1"},
		{"GET", "/v1/vms/a/logs?follow=maybe", "", 400, "is not 0 or 1"},
		{"DELETE", "/v1/vms/a?force=", "", 400, "is not 0 or 1"},
		{"POST", "/v1/vms", "{\"nmae\": \"a\"}", 400, "unknown field"},
		{"POST", "/v1/vms", "{\"cpus\": 33}", 400, "vm.limits"},
		{"POST", "/v1/vms", "{\"cpus\": 1.5}", 400, "whole number from 1 to 32"},
		{"POST", "/v1/vms", "{\"name\": \"a\\u0000b\"}", 400, "not JSON"},
		{"POST", "/v1/vms", "{\"publish\": [{\"host\": 1}]}", 400, "guest"},
		{"POST", "/v1/vms", "{\"publish\": [1]}", 400, "a list of objects"},
		{"POST", "/v1/vms", "{\"labels\": {\"a\": null}}", 400, "an object of strings"},
		{"POST", "/v1/vms/a/set", "{\"unpublish\": [0]}", 400, "whole numbers"},
		{"POST", "/v1/images/pull", "", 400, "is missing"},
		{"POST", "/v1/images/pull", "{\"ref\": null}", 400, "is missing"},
		{"GET", "/v1/vms/a/logs?tail", "", 400, "malformed"},
		{"POST", "/v1/vms", "[1]", 400, "not a JSON object"},
		{"POST", "/v1/vms", "{\"a\":1,\"a\":2}", 400, "not JSON: line 1"},
		{"POST", "/v1/vms", "{", 400, "not JSON"},
		{"POST", "/v1/vms/a/start", "{\"x\":1}", 400, "takes no body"},
	};

	played_http_start();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(rows[i].method, rows[i].path, rows[i].body, rows[i].status, rows[i].words);
	stop_server();
}

/* Of each method either the whole body is read, or the connection ends: its bytes are never the next request. */
TEST(a_body_is_not_the_next_request)
{
	static const char *const methods[] = {"GET", "DELETE", "OPTIONS", "TRACE", "PUT", "PATCH"};
	static const char hidden[] = "DELETE /v1/vms/b HTTP/1.1\r\nHost: b\r\n\r\n";

	played_http_start();
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		int fd = dial();
		struct answer a = ask(fd, methods[i], "/v1/vms/a", hidden);
		char c;

		CHECK(a.status == 400 || a.status == 405);
		CHECK_INT(shutdown(fd, SHUT_WR), 0);
		CHECK(read(fd, &c, 1) <= 0); /* and no second answer */
		close(fd);
	}
	stop_server();
}

TEST(method_not_allowed_names_those_that_are)
{
	struct answer a;
	int fd;

	played_http_start();
	fd = dial();
	a = ask(fd, "PATCH", "/v1/vms/a", "");
	CHECK_INT(a.status, 405);
	CHECK(strstr(a.head, "Allow: GET, DELETE\r\n"));
	close(fd);
	stop_server();
}

static int ask_big(size_t len)
{
	_free_ char *body = malloc(len + 1);
	struct answer a;
	char head[128];
	int fd = dial();

	CHECK(body);
	memset(body, ' ', len);
	body[0] = '{';
	body[len - 1] = '}';
	snprintf(head, sizeof(head),
		"POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: %zu\r\n\r\n", len);
	send_text(fd, head);
	signal(SIGPIPE, SIG_IGN);
	(void)bg_write_all(fd, body, len);
	read_head(fd, &a);
	close(fd);
	return a.status;
}

/* accept fails for as long as they stay; the server lives, and serves those who wait afterwards. */
TEST(more_clients_than_descriptors)
{
	int hogs[12], fd;
	struct answer a;

	played.more_fds = 4;
	played_http_start();
	for (size_t i = 0; i < ARRAY_SIZE(hogs); i++)
		hogs[i] = dial();
	a = ask(hogs[0], "GET", "/v1/vms", "");
	CHECK_INT(a.status, 200);
	fd = dial();
	send_text(fd, "GET /v1/daemon HTTP/1.1\r\nHost: b\r\n\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(hogs); i++)
		close(hogs[i]);
	a = read_answer(fd);
	CHECK_INT(a.status, 200);
	close(fd);
	stop_server();
}

/* Nothing, half a head, half a body, nothing after an answer: each is closed. */
TEST(silent_clients_are_closed)
{
	static const char *const beginnings[] = {"", "GET /v1/vms HTTP/1.1\r\nHo",
		"POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\n{"};
	char rest[4096];
	struct answer a;
	int fd;

	played.idle_s = 1;
	played_http_start();
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		fd = dial();
		send_text(fd, beginnings[i]);
		while (read(fd, rest, sizeof(rest)) > 0)
			; /* ends by the server's close */
		close(fd);
	}
	fd = dial();
	a = ask(fd, "GET", "/v1/vms", "");
	CHECK_INT(a.status, 200);
	CHECK_INT(read(fd, rest, 1), 0);
	close(fd);
	stop_server();
}

static size_t read_chunks(int fd)
{
	size_t total = 0;

	for (;;) {
		char line[32] = "", *block;
		size_t n = 0, len;

		while (!strchr(line, '\n'))
			CHECK(n < sizeof(line) - 1 && read(fd, line + n++, 1) == 1);
		len = strtoul(line, NULL, 16);
		block = malloc(len + 2);
		CHECK(block);
		CHECK_INT(bg_read_exact(fd, block, len + 2), 0);
		free(block);
		if (len == 0)
			return total;
		total += len;
	}
}

/* A request under way is not a silence, nor is a stream whose reader pauses. */
TEST(slow_answers_outlive_the_idle_bound)
{
	int fd, stream, watcher;
	struct answer a;

	played.idle_s = 1;
	played_http_start();
	stream = dial();
	send_text(stream, "GET /v1/vms/a/logs?tail=900000 HTTP/1.1\r\nHost: b\r\n\r\n");
	fd = dial();
	send_text(fd, "POST /v1/vms/a/stop HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n");
	expect_report("pending;");
	watcher = dial(); /* closed by the server once the bound has passed for the others too */
	CHECK_INT(read(watcher, &(char){0}, 1), 0);
	close(watcher);
	kill(played.pid, SIGUSR1);
	expect_report("replied;");
	a = read_answer(fd);
	CHECK_INT(a.status, 202);
	close(fd);
	read_head(stream, &a);
	CHECK_INT((int)read_chunks(stream), 900000);
	close(stream);
	stop_server();
}

TEST(body_has_a_bound)
{
	played_http_start();
	CHECK_INT(ask_big(BG_HTTP_BODY_MAX), 200);
	CHECK_INT(ask_big(BG_HTTP_BODY_MAX + 1), 400);
	stop_server();
}

TEST(garbage_ends_the_connection_and_not_the_server)
{
	static const char *const texts[] = {"\r\n\r\n\r\n", "GET\r\n\r\n",
		"\xff\xfe\x00 / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
		"POST /v1/vms HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/vms HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};

	played_http_start();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char sink[4096];
		int fd = dial();

		send_text(fd, texts[i]);
		CHECK_INT(shutdown(fd, SHUT_WR), 0);
		while (read(fd, sink, sizeof(sink)) > 0)
			;
		close(fd);
	}
	stop_server();
}

TEST(connections_are_kept_alive)
{
	int fd;

	played_http_start();
	fd = dial();
	for (int i = 0; i < 50; i++)
		CHECK_INT(ask(fd, "GET", "/v1/vms/alpha", "").status, 200);
	CHECK_INT(ask(fd, "GET", "/nothing", "").status, 404);
	CHECK_INT(ask(fd, "GET", "/v1/vms", "").status, 200);
	close(fd);
	stop_server();
}

TEST(pipelined_requests_are_answered_in_order)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "POST /v1/vms/a/start HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n"
		      "GET /v1/vms/second HTTP/1.1\r\nHost: b\r\n\r\n");
	CHECK(strstr(read_answer(fd).body, "late"));
	CHECK(strstr(read_answer(fd).body, "second"));
	close(fd);
	stop_server();
}

TEST(calls_may_be_answered_later)
{
	played_http_start();
	expect("POST", "/v1/vms/a/start", "", 202, "{\"late\":\"yes\"}");
	stop_server();
}

TEST(late_answer_to_a_client_that_left)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "POST /v1/vms/a/stop HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n");
	expect_report("pending;");
	close(fd);
	kill(played.pid, SIGUSR1);
	expect_report("replied;");
	expect("GET", "/v1/vms", "", 200, "VM_LIST");
	stop_server();
}

TEST(answer_after_the_server_is_gone)
{
	char c;
	int fd, status;

	played_http_start();
	fd = dial();
	send_text(fd, "POST /v1/vms/a/stop HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n");
	expect_report("pending;");
	kill(played.pid, SIGTERM);
	expect_report("replied;");
	CHECK_INT(read(fd, &c, 1), 0);
	CHECK_INT(waitpid(played.pid, &status, 0), played.pid);
	CHECK_INT(status, 0);
	close(fd);
}

static void read_until(int fd, const char *words)
{
	char got[8192] = "";
	size_t n = 0;

	while (!strstr(got, words)) {
		ssize_t r = read(fd, got + n, sizeof(got) - 1 - n);

		CHECK(r > 0);
		n += (size_t)r;
		got[n] = '\0';
	}
}

TEST(stream_sends_lines_and_sees_the_client_leave)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/events HTTP/1.1\r\nHost: b\r\n\r\n");
	read_until(fd, "{\"type\":\"vm\"}\n");
	expect("GET", "/v1/operations", "", 200, "OP_LIST");
	read_until(fd, "{\"type\":\"image\"}\n");
	close(fd);
	expect_report("gone;");
	stop_server();
}

TEST(client_that_leaves_with_bytes_unread)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/events HTTP/1.1\r\nHost: b\r\n\r\n");
	read_until(fd, "HTTP/1.1 200");
	expect("GET", "/v1/operations", "", 200, "OP_LIST");
	close(fd);
	expect_report("gone;");
	stop_server();
}

TEST(bulk_stream_waits_for_its_reader_and_ends)
{
	struct answer a;
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/vms/a/logs?tail=20000000 HTTP/1.1\r\nHost: b\r\n\r\n");
	read_head(fd, &a);
	CHECK_INT(a.status, 200);
	CHECK(strstr(a.head, "Content-Type: text/plain\r\n"));
	CHECK_INT(read_chunks(fd), 20000000);
	CHECK_INT(ask(fd, "GET", "/v1/vms", "").status, 200); /* and the connection lives on */
	close(fd);
	stop_server();
}

TEST(request_sent_ahead_of_a_stream_is_served_after_it)
{
	struct answer a;
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/vms/a/logs?tail=5000000 HTTP/1.1\r\nHost: b\r\n\r\n");
	send_text(fd, "GET /v1/vms/second HTTP/1.1\r\nHost: b\r\n\r\n");
	read_head(fd, &a);
	CHECK_INT(read_chunks(fd), 5000000);
	CHECK(strstr(read_answer(fd).body, "second"));
	close(fd);
	stop_server();
}

TEST(reader_that_does_not_read_is_dropped)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/operations/1/events HTTP/1.1\r\nHost: b\r\n\r\n");
	expect_report("written;gone;");
	close(fd);
	stop_server();
}

TEST(stop_with_an_open_stream)
{
	int fd;

	played_http_start();
	fd = dial();
	send_text(fd, "GET /v1/events HTTP/1.1\r\nHost: b\r\n\r\n");
	read_until(fd, "{\"type\":\"vm\"}\n");
	stop_server();
	expect_report("gone;");
	close(fd);
}

TEST(other_users_are_refused)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("needs root to become another user");
	played_http_start();
	CHECK_INT(chmod(test_tmpdir(), 0755), 0);
	pid = fork();
	if (pid == 0) {
		CHECK_INT(setresuid(65534, 65534, 65534), 0);
		expect("GET", "/v1/daemon", "", 403, "request.forbidden");
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	stop_server();
}
