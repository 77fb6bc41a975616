/* SPDX-License-Identifier: ISC */
#include "daemon/engine.h"

#include <signal.h>

#include "common/log.h"
#include "daemon/api/api.h"
#include "daemon/boot.h"
#include "daemon/http/http.h"
#include "daemon/loop/loop.h"
#include "daemon/monitor_client.h"
#include "daemon/store/store.h"

#define DRAIN_STEP_USEC 5000
#define DRAIN_STEPS 400

struct engine {
	struct engine_boot *boot;
	struct loop *loop;
	struct store *store;
	struct http *http;
	struct monitor_client *monitor;
	struct loop_source *term, *intr, *drain;
	unsigned drain_steps;
};

/* Replies under way are still written, within a bound. */
static void on_drain(void *userdata)
{
	struct engine *e = userdata;

	if (http_busy(e->http) == 0 || ++e->drain_steps > DRAIN_STEPS)
		loop_exit(e->loop, 0);
}

static void stop(struct engine *e)
{
	if (e->drain)
		return;
	log_msg(LOG_INFO, "engine", "stopping", NULL);
	if (loop_add_ticker(e->loop, "drain", DRAIN_STEP_USEC, on_drain, e, &e->drain) < 0)
		loop_exit(e->loop, 0);
}

static void on_signal(int signo, void *userdata)
{
	stop(userdata);
}

static void on_monitor_gone(void *userdata)
{
	stop(userdata);
}

static json_t *status_json(const struct engine *e)
{
	const struct bg_paths *p = e->boot->paths;

	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s}", "version", BG_VERSION, "pid",
		(int)getpid(), "monitor_pid", (int)e->boot->monitor_pid, "socket", p->socket, "log",
		p->log_file, "config", p->config_file);
}

void api_daemon_status(struct http_call *call, struct engine *e)
{
	http_reply(call, 200, status_json(e));
}

void api_daemon_stop(struct http_call *call, struct engine *e)
{
	http_reply(call, 200, status_json(e));
	stop(e);
}

/* The other rows of the route table come with the parts that do them. */
static void no_such(struct http_call *call, const char *symbol)
{
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_NO_ROUTE, ENOSYS, "this build serves no %s", symbol);
	http_reply_error(call, err);
}

#define REST(X)                                                                                    \
	X(VM_LIST)                                                                                 \
	X(VM_CREATE)                                                                               \
	X(VM_SHOW)                                                                                 \
	X(VM_DELETE)                                                                               \
	X(VM_START)                                                                                \
	X(VM_STOP)                                                                                 \
	X(VM_RESTART)                                                                              \
	X(VM_KILL)                                                                                 \
	X(VM_LOGS)                                                                                 \
	X(IMAGE_LIST)                                                                              \
	X(IMAGE_BUILD)                                                                             \
	X(IMAGE_REGISTER)                                                                          \
	X(IMAGE_SHOW)                                                                              \
	X(IMAGE_DELETE)                                                                            \
	X(KERNEL_LIST)                                                                             \
	X(KERNEL_IMPORT)                                                                           \
	X(KERNEL_SHOW)                                                                             \
	X(KERNEL_DELETE)                                                                           \
	X(OP_LIST)                                                                                 \
	X(OP_SHOW)                                                                                 \
	X(OP_FOLLOW)                                                                               \
	X(OP_CANCEL)                                                                               \
	X(EVENTS)
#define X(sym)                                                                                     \
	void api_##sym(struct http_call *call, struct engine *engine)                              \
	{                                                                                          \
		no_such(call, #sym);                                                               \
	}
REST(X)
#undef X

static int open_store(struct engine *e, struct bg_err **err)
{
	_free_ char *path = NULL;

	if (asprintf(&path, "%s/banger.db", e->boot->paths->state_dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return store_open(path, &e->store, err);
}

static int set_up(struct engine *e, struct bg_err **err)
{
	int r;

	r = loop_new(&e->loop);
	if (r >= 0)
		r = loop_add_signal(e->loop, "SIGTERM", SIGTERM, on_signal, e, &e->term);
	if (r >= 0)
		r = loop_add_signal(e->loop, "SIGINT", SIGINT, on_signal, e, &e->intr);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "event loop");
	r = open_store(e, err);
	if (r >= 0)
		r = monitor_client_new(e->loop, TAKE_FD(e->boot->monitor_sock), on_monitor_gone, e,
			&e->monitor, err);
	if (r >= 0)
		r = http_new(e->loop, e, TAKE_FD(e->boot->listen_fd), &e->http, err);
	return r;
}

static void tear_down(struct engine *e)
{
	http_free(e->http);
	monitor_client_free(e->monitor);
	store_close(e->store);
	loop_source_free(e->term);
	loop_source_free(e->intr);
	loop_source_free(e->drain);
	loop_free(e->loop);
	bg_close(e->boot->helper_sock);
}

int engine_run(struct engine_boot *boot, struct bg_err **err)
{
	struct engine e = {.boot = boot};
	int r;

	r = set_up(&e, err);
	if (r >= 0) {
		boot_ready(&boot->ready_fd);
		(void)monitor_client_ready(e.monitor);
		log_msg(LOG_INFO, "engine", "serving", "socket", boot->paths->socket, NULL);
		r = loop_run(e.loop);
	}
	tear_down(&e);
	return r;
}
