/* SPDX-License-Identifier: ISC */
/* daemon/event over a real socket: many followers that do not read, and one that does. */
#include "daemon/event.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/seal.h"
#include "daemon/api/api.h"
#include "daemon/op/op.h"
#include "tests/lib/test.h"

enum { DEAF = 60, RECORD = 16 * 1024, ROUND = 16, ROUNDS = 100, RSS_MAX_KIB = 96 * 1024 };

struct engine {
	struct loop *loop;
	struct events *events;
	int asked; /* for the usage */
};

/* No operations here: what event.c calls of them. */
int64_t op_id(const struct op *op)
{
	return op ? 1 : 0;
}

enum op_state op_state(const struct op *op)
{
	return op ? OP_RUNNING : OP_DONE;
}

const char *op_target(const struct op *op)
{
	return op ? "x" : "";
}

json_t *op_to_json(const struct op *op)
{
	return op ? json_object() : json_null();
}

static void publish(struct engine *e)
{
	static char text[RECORD];

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < ROUND; i++)
		events_publish(e->events, "vm", "changed", "a", json_string(text));
}

static json_t *usage(void *userdata)
{
	struct engine *e = userdata;

	return json_pack("{s:s, s:i}", "type", "usage", "asked", ++e->asked);
}

static void answer(struct http_call *call, struct engine *e, const char *symbol)
{
	if (bg_streq(symbol, "EVENTS")) {
		struct http_stream *stream = NULL;

		events_set_usage(e->events, usage, e);
		events_follow(e->events, call, http_call_query(call, "usage") ? 1 : 0, &stream);
		return;
	}
	if (bg_streq(symbol, "VM_LIST"))
		publish(e);
	http_reply(call, 200, json_object());
	if (bg_streq(symbol, "DAEMON_STOP"))
		loop_exit(e->loop, 0);
}

#define X(sym, method, path, query, body, reply, summary)                                          \
	void api_##sym(struct http_call *call, struct engine *engine)                              \
	{                                                                                          \
		answer(call, engine, #sym);                                                        \
	}
#include "common/http_routes.def"
#undef X

static struct sockaddr_un addr = {.sun_family = AF_UNIX};

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static int ask(const char *line)
{
	_free_ char *text = NULL;
	int fd = dial();

	CHECK(asprintf(&text, "%s HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n", line) > 0);
	CHECK_INT(bg_write_all(fd, text, strlen(text)), 0);
	return fd;
}

static void read_head(int fd)
{
	char got[4] = "";

	while (memcmp(got, "\r\n\r\n", 4) != 0) {
		memmove(got, got + 1, 3);
		CHECK_INT(read(fd, got + 3, 1), 1);
	}
}

static pid_t serve(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct http *http;
	struct engine e = {.asked = 0};
	pid_t pid;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", test_tmpdir());
	CHECK_INT(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_INT(listen(fd, 128), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid > 0) {
		close(fd);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK_INT(loop_new(&e.loop), 0);
	CHECK_INT(events_new(e.loop, &e.events), 0);
	api_routes_bind();
	CHECK_INT(http_new(e.loop, &e, fd, &http, NULL), 0);
	CHECK_INT(loop_run(e.loop), 0);
	events_free(e.events);
	http_free(http);
	loop_free(e.loop);
	exit(0);
}

static long rss_kib(pid_t pid)
{
	_free_ char *text = NULL;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	CHECK_INT(bg_read_file_at(-1, path, 65536, &text, NULL), 0);
	p = strstr(text, "VmRSS:");
	CHECK(p);
	return strtol(p + 6, NULL, 10);
}

static size_t take(int fd, size_t least)
{
	static char buf[65536];
	size_t total = 0;

	while (total < least) {
		ssize_t n = read(fd, buf, sizeof(buf));

		CHECK(n > 0); /* the reader is never let go */
		total += (size_t)n;
	}
	return total;
}

TEST(readers_that_do_not_read_cost_a_bounded_sum)
{
	int deaf[DEAF], reader, fd, status;
	size_t got = 0;
	pid_t server = serve();
	long most = 0;

	for (size_t i = 0; i < DEAF; i++)
		read_head(deaf[i] = ask("GET /v1/events"));
	read_head(reader = ask("GET /v1/events"));
	for (int i = 0; i < ROUNDS; i++) {
		read_head(fd = ask("GET /v1/vms"));
		close(fd);
		got += take(reader, (size_t)RECORD * ROUND);
		most = BG_MAX(most, rss_kib(server));
	}
	CHECK(got >= (size_t)RECORD * ROUND * ROUNDS);
	if (!BG_SANITIZED && most > RSS_MAX_KIB)
		test_fail(__FILE__, __LINE__, "%ld KiB for %d readers", most, DEAF);
	for (size_t i = 0; i < DEAF; i++)
		close(deaf[i]);
	fd = ask("POST /v1/daemon/stop"); /* it ends before the answer is out */
	CHECK_INT(waitpid(server, &status, 0), server);
	CHECK_INT(status, 0);
}

static int usage_lines(int fd, int n)
{
	static const char key[] = "\"asked\":";
	char text[4096];
	size_t len = 0;
	const char *last = NULL;

	while (n > 0) {
		ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);

		CHECK(got > 0);
		len += (size_t)got;
		text[len] = '\0';
		for (const char *p = last ? last + 1 : text; n > 0 && (p = strstr(p, key)); p++) {
			last = p;
			n--;
		}
	}
	return (int)strtol(last + strlen(key), NULL, 10);
}

TEST(usage_is_asked_for_once_and_only_while_somebody_follows_it)
{
	int with[2], without, fd, last, status;
	pid_t server = serve();

	read_head(without = ask("GET /v1/events"));
	read_head(with[0] = ask("GET /v1/events?usage=1"));
	read_head(with[1] = ask("GET /v1/events?usage=1"));
	CHECK(usage_lines(with[0], 2) <= 3);
	last = usage_lines(with[1], 2);
	CHECK(last >= 2 && last <= 3); /* two followers, one question a tick */
	close(with[0]);
	close(with[1]);
	read_head(fd = ask("GET /v1/vms"));
	close(fd);
	CHECK(take(without, (size_t)RECORD * ROUND) <
		(size_t)(RECORD + 200) * ROUND); /* and no usage */
	close(without);
	fd = ask("POST /v1/daemon/stop");
	CHECK_INT(waitpid(server, &status, 0), server);
	CHECK_INT(status, 0);
	close(fd);
}
