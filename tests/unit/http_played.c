/* SPDX-License-Identifier: ISC */
/* http_played.c: handlers that only say which they are, and some that answer late, in pieces or without an end. */
#include "tests/unit/http_played.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/http/http.h"
#include "daemon/loop/loop.h"
#include "tests/lib/test.h"

struct engine {
	struct loop *loop;
	struct http *http;
	struct loop_source *later, *stop;
	struct http_call *pending;
	struct http_stream *events, *logs;
	int report; /* the test reads here what happened in the server */
	size_t left;
	unsigned overruns;
};

static void report(struct engine *e, const char *what)
{
	CHECK_INT(bg_write_all(e->report, what, strlen(what)), 0);
}

static void check_stop(void *userdata)
{
	struct engine *e = userdata;

	if (http_busy(e->http) == 0)
		loop_exit(e->loop, 0);
}

static void reply_pending(struct engine *e)
{
	report(e, "replied;");
	http_reply(TAKE_PTR(e->pending), 202, json_pack("{s:s}", "late", "yes"));
}

static void on_later(void *userdata)
{
	struct engine *e = userdata;

	loop_source_free(TAKE_PTR(e->later));
	reply_pending(e);
}

static void on_gone(struct http_stream *stream, void *userdata)
{
	struct engine *e = userdata;

	if (stream == e->events)
		e->events = NULL;
	if (stream == e->logs)
		e->logs = NULL;
	report(e, "gone;");
}

static void fill(struct http_stream *stream, void *userdata)
{
	struct engine *e = userdata;
	static char block[65536];

	memset(block, 'x', sizeof(block));
	while (e->left > 0 && http_stream_pending(stream) < 256 * 1024) {
		size_t n = BG_MIN(e->left, sizeof(block));

		http_stream_bytes(stream, block, n);
		e->left -= n;
	}
	if (e->left == 0)
		http_stream_end(TAKE_PTR(e->logs));
}

static void start_logs(struct engine *e, struct http_call *call)
{
	const char *tail = http_call_query(call, "tail");

	e->left = tail ? strtoul(tail, NULL, 10) : 10;
	e->logs = http_reply_stream(call, "text/plain", on_gone, e);
	http_stream_on_drain(e->logs, fill);
	fill(e->logs, e);
}

static void start_events(struct engine *e, struct http_call *call)
{
	json_t *line = json_pack("{s:s}", "type", "vm");

	e->events = http_reply_stream(call, "application/x-ndjson", on_gone, e);
	http_stream_json(e->events, line);
	json_decref(line);
}

/* Writes without looking: the reader must be dropped, and only from the loop. */
static void start_overrun(struct engine *e, struct http_call *call)
{
	static char block[1024 * 1024];

	e->logs = http_reply_stream(call, "text/plain", on_gone, e);
	for (int i = 0; i < 64; i++)
		http_stream_bytes(e->logs, block, sizeof(block));
	report(e, e->logs ? "written;" : "early;");
}

static void echo(struct http_call *call, const char *symbol)
{
	http_reply(call, 200,
		json_pack("{s:s, s:o, s:O}", "symbol", symbol, "arg",
			bg_json_str(http_call_arg(call)), "body", http_call_body(call)));
}

static void fake(struct http_call *call, struct engine *e, const char *symbol)
{
	struct bg_err *err = NULL;

	if (bg_streq(symbol, "DAEMON_STOP")) {
		echo(call, symbol);
		CHECK_INT(loop_add_ticker(e->loop, "stop", 1000, check_stop, e, &e->stop), 0);
	} else if (bg_streq(symbol, "VM_START")) {
		e->pending = call;
		CHECK_INT(loop_add_timer(e->loop, "later", 10000, on_later, e, &e->later), 0);
	} else if (bg_streq(symbol, "VM_STOP")) {
		e->pending = call;
		report(e, "pending;");
	} else if (bg_streq(symbol, "VM_LOGS")) {
		start_logs(e, call);
	} else if (bg_streq(symbol, "OP_FOLLOW")) {
		start_overrun(e, call);
	} else if (bg_streq(symbol, "EVENTS")) {
		start_events(e, call);
	} else if (bg_streq(symbol, "OP_LIST")) {
		json_t *line = json_pack("{s:s}", "type", "image");

		http_stream_json(e->events, line);
		json_decref(line);
		echo(call, symbol);
	} else if (bg_streq(symbol, "VM_DELETE")) {
		bg_err_set(&err, BG_ERR_VM_NOT_FOUND, ENOENT, "no VM \"%s\"", http_call_arg(call));
		http_reply_error(call, err);
	} else {
		echo(call, symbol);
	}
}

#define X(sym, method, path, query, body, reply, summary)                                          \
	void api_##sym(struct http_call *call, struct engine *engine)                              \
	{                                                                                          \
		fake(call, engine, #sym);                                                          \
	}
#include "common/http_routes.def"
#undef X

struct played_http played = {.addr.sun_family = AF_UNIX, .reports = -1};

static bool barred(pid_t pid, struct engine *engine)
{
	return pid == played.barred_pid;
}

static void on_usr1(int signo, void *userdata)
{
	reply_pending(userdata);
}

static void on_term(int signo, void *userdata)
{
	loop_exit(((struct engine *)userdata)->loop, 0);
}

static void leave_descriptors(unsigned n)
{
	int next = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	struct rlimit limit = {(rlim_t)next + n, (rlim_t)next + n};

	CHECK(next >= 0);
	close(next);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

_noreturn_ static void serve(int listen_fd, int report_fd)
{
	struct engine e = {.report = report_fd};
	struct loop_source *usr1, *term;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK_INT(loop_new(&e.loop), 0);
	api_routes_bind();
	CHECK_INT(http_new(e.loop, &e, listen_fd, &e.http, NULL), 0);
	http_set_barred(e.http, barred);
	if (played.idle_s)
		http_set_idle(e.http, played.idle_s);
	if (played.more_fds) /* what it has, and so many connections */
		leave_descriptors(played.more_fds);
	CHECK_INT(loop_add_signal(e.loop, "usr1", SIGUSR1, on_usr1, &e, &usr1), 0);
	CHECK_INT(loop_add_signal(e.loop, "term", SIGTERM, on_term, &e, &term), 0);
	CHECK_INT(loop_run(e.loop), 0);
	http_free(e.http);
	if (e.pending)
		reply_pending(&e); /* its connection is long gone */
	loop_source_free(e.stop);
	loop_source_free(usr1);
	loop_source_free(term);
	loop_free(e.loop);
	exit(0);
}

void played_http_start(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), p[2];

	snprintf(played.addr.sun_path, sizeof(played.addr.sun_path), "%s/sock", test_tmpdir());
	CHECK(fd >= 0);
	CHECK_INT(bind(fd, (struct sockaddr *)&played.addr, sizeof(played.addr)), 0);
	CHECK_INT(chmod(played.addr.sun_path, 0666), 0);
	CHECK_INT(listen(fd, 16), 0);
	CHECK_INT(pipe(p), 0);
	played.pid = fork();
	CHECK(played.pid >= 0);
	if (played.pid == 0) {
		close(p[0]);
		serve(fd, p[1]);
	}
	close(fd);
	close(p[1]);
	played.reports = p[0];
}
