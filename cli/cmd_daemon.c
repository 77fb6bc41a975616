/* SPDX-License-Identifier: ISC */
/* cmd_daemon.c: banger daemon status, socket, start, stop, restart. */
#include "cli/cmd_daemon.h"

#include <fcntl.h>

#include "cli/client.h"
#include "cli/daemon_proc.h"
#include "cli/launch.h"
#include "cli/pulse.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/size.h"
#include "host/config.h"

enum { STOP_TIMEOUT_S = 30, START_ERROR_MAX = 64 * 1024 };

/* error is an error object or a text. */
static void show_error(const struct term *t, const char *label, const json_t *error)
{
	const char *message = render_text(error, "message");

	render_field(t, label, STYLE_RED, "%s",
		json_is_string(error) ? json_string_value(error) : message);
	render_field(t, "", STYLE_PLAIN, "%s", render_text(error, "hint"));
}

static void show_vmm(const struct term *t, const json_t *vmm)
{
	const json_t *error = json_object_get(vmm, "error");
	const char *reason = render_text(vmm, "reason");

	if (*render_text(vmm, "name"))
		render_field(t, "vmm", STYLE_PLAIN, "%s %s, %s%s%s%s", render_text(vmm, "name"),
			render_text(vmm, "version"), render_text(vmm, "accel"), *reason ? " (" : "",
			reason, *reason ? ")" : "");
	else if (json_is_object(error))
		show_error(t, "vmm", error);
	else
		render_field(t, "vmm", STYLE_YELLOW, "%s", *reason ? reason : "not known yet");
}

/* "copy (why)", also when the reason opens with the driver's own name. */
static void show_storage(const struct term *t, const json_t *storage)
{
	const char *driver = render_text(storage, "driver"),
		   *reason = render_text(storage, "reason");
	size_t len = strlen(driver);

	if (len && strncmp(reason, driver, len) == 0 && strncmp(reason + len, ": ", 2) == 0)
		reason += len + 2;
	render_field(t, "storage", STYLE_PLAIN, "%s%s%s%s", driver, *reason ? " (" : "", reason,
		*reason ? ")" : "");
}

/* Only when something is wrong: `banger doctor` has the hint. */
static void show_store(const struct term *t, const json_t *store)
{
	const char *mode = render_text(store, "mode");

	if (bg_streq(mode, "silent"))
		render_field(t, "store", STYLE_RED,
			"does not answer: process %lld waits for the disk, or stands still",
			(long long)render_int(store, "pid"));
	else if (*mode && !bg_streq(mode, "ok"))
		render_field(t, "store", STYLE_RED, "%s",
			bg_streq(mode, "full") ? "the disk is full"
					       : "nothing can be written to the disk");
}

static void show_parts(const struct term *t, const json_t *d)
{
	const json_t *helper = json_object_get(d, "helper"), *dns = json_object_get(d, "dns"),
		     *taps = json_object_get(d, "taps"), *web = json_object_get(d, "web");
	bool ok = false;

	(void)bg_json_get_bool(helper, "ok", &ok);
	show_vmm(t, json_object_get(d, "vmm"));
	show_storage(t, json_object_get(d, "storage"));
	show_store(t, json_object_get(d, "store"));
	if (ok)
		render_field(t, "helper", STYLE_PLAIN, "%s", render_text(helper, "path"));
	else
		show_error(t, "helper", json_object_get(helper, "error"));
	if (render_int(taps, "size"))
		render_field(t, "taps", STYLE_PLAIN, "%lld of %lld ready",
			(long long)render_int(taps, "ready"), (long long)render_int(taps, "size"));
	if (*render_text(dns, "address"))
		render_field(t, "names", STYLE_PLAIN, "NAME.vm, answered at %s",
			render_text(dns, "address"));
	else if (ok && json_is_object(json_object_get(dns, "error")))
		show_error(t, "names", json_object_get(dns, "error"));
	if (*render_text(web, "url"))
		render_field(t, "web", STYLE_PLAIN, "%s, %lld signed in; `banger web` opens it",
			render_text(web, "url"), (long long)render_int(web, "sessions"));
	else if (json_is_object(json_object_get(web, "error")))
		show_error(t, "web", json_object_get(web, "error"));
}

static void show_config(const struct term *t, const char *path, const json_t *error, bool changed)
{
	render_field(t, "config", STYLE_PLAIN, "%s", path);
	if (json_is_object(error))
		show_error(t, "", error);
	else if (changed)
		render_field(t, "", STYLE_YELLOW, "%s",
			"changed since the daemon started; `banger daemon restart` applies it");
}

static void show_running(const struct term *t, const json_t *d)
{
	const json_t *vms = json_object_get(d, "vms");
	const char *started = render_text(d, "started_at");
	int64_t seconds = *started ? render_seconds_since(started) : -1;
	char up[DURATION_TEXT] = "", rss[BG_SIZE_TEXT];

	if (seconds >= 0)
		render_age(seconds, up);
	render_field(t, "daemon", STYLE_GREEN, "running%s%s", *up && seconds ? " for " : "",
		seconds ? up : "");
	render_field(t, "version", STYLE_PLAIN, "%s%s%s", render_text(d, "version"),
		bg_streq(render_text(d, "version"), BG_VERSION) ? "" : "; this is banger ",
		bg_streq(render_text(d, "version"), BG_VERSION) ? "" : BG_VERSION);
	render_field(t, "pid", STYLE_PLAIN, "%lld, monitor %lld", (long long)render_int(d, "pid"),
		(long long)render_int(d, "monitor_pid"));
	if (render_int(d, "rss_kib"))
		render_field(t, "memory", STYLE_PLAIN, "%s",
			bg_size_print((uint64_t)render_int(d, "rss_kib") * KIB, rss));
	render_field(t, "vms", STYLE_PLAIN, "%lld, %lld running",
		(long long)render_int(vms, "total"), (long long)render_int(vms, "running"));
	show_parts(t, d);
	render_field(t, "socket", STYLE_PLAIN, "%s", render_text(d, "socket"));
	render_field(t, "log", STYLE_PLAIN, "%s", render_text(d, "log"));
	show_config(t, render_text(d, "config"), json_object_get(d, "config_error"),
		json_is_true(json_object_get(d, "config_changed")));
	render_field(t, "state", STYLE_PLAIN, "%s", render_text(d, "state_dir"));
	render_field(t, "cache", STYLE_PLAIN, "%s", render_text(d, "cache_dir"));
}

/* What is wrong with config.toml, or NULL. */
static json_t *config_error(const struct cli *cli)
{
	_unref_(config) struct config *config = NULL;
	_err_ struct bg_err *err = NULL;

	return config_load(cli->paths.config_file, &config, &err) < 0 ? bg_err_to_json(err) : NULL;
}

/* Why the last start failed, or NULL; bangerd leaves it there (daemon/boot.h). */
static json_t *start_error(const struct cli *cli)
{
	_free_ char *path = NULL, *text = NULL;
	_json_ json_t *j = NULL;

	if (asprintf(&path, "%s/start-error.json", cli->paths.state_dir) < 0)
		return NULL;
	if (bg_read_file_at(AT_FDCWD, path, START_ERROR_MAX, &text, NULL) >= 0)
		j = json_loads(text, 0, NULL);
	return json_incref(json_object_get(j, "error"));
}

/* Says where to look even when there is nobody to ask. */
static int show_absent(struct cli *cli)
{
	_json_ json_t *config = config_error(cli), *start = start_error(cli);
	const struct term *t = &cli->out;
	const struct bg_paths *p = &cli->paths;

	if (cli->json) {
		_json_ json_t *record = json_pack("{s:n, s:s, s:s, s:s, s:O?, s:O?}", "pid",
			"socket", p->socket, "log", p->log_file, "config", p->config_file,
			"config_error", config, "start_error", start);

		render_json(t, record);
		return BG_EXIT_DAEMON;
	}
	render_field(
		t, "daemon", STYLE_YELLOW, "not running; the next command that needs it starts it");
	if (start && !config)
		show_error(t, "last start", start);
	render_field(t, "socket", STYLE_PLAIN, "%s", p->socket);
	render_field(t, "log", STYLE_PLAIN, "%s", p->log_file);
	show_config(t, p->config_file, config, false);
	return BG_EXIT_DAEMON;
}

static bool absent(const struct bg_err *err)
{
	return err && err->code == BG_ERR_DAEMON_UNREACHABLE &&
	       (err->errnum == ENOENT || err->errnum == ECONNREFUSED);
}

int daemon_status(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	_err_ struct bg_err *e = NULL;
	int r;

	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, &e);
	if (r < 0 && absent(e))
		return show_absent(cli);
	if (r < 0) {
		*err = TAKE_PTR(e);
		return r;
	}
	if (cli->json)
		render_json(&cli->out, d);
	else
		show_running(&cli->out, d);
	return BG_EXIT_OK;
}

int daemon_socket(struct cli *cli, const struct args *args, struct bg_err **err)
{
	fprintf(cli->out.file, "%s\n", cli->paths.socket);
	return BG_EXIT_OK;
}

/* Starts it, and prints what ("is running", "was restarted"). */
static int start_and_tell(struct cli *cli, const char *what, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, d);
	else
		fprintf(cli->out.file, "the daemon %s, pid %lld\n", what,
			(long long)render_int(d, "pid"));
	return BG_EXIT_OK;
}

int daemon_start(struct cli *cli, const struct args *args, struct bg_err **err)
{
	return start_and_tell(cli, "is running", err);
}

/* The monitor ends last: its end is the daemon's. */
static int open_monitor(const json_t *d)
{
	int64_t pid = render_int(d, "monitor_pid");

	return launch_pidfd(pid ? pid : render_int(d, "pid"));
}

/* force of another kind than --force: what is to become of the operations that run. */
enum if_busy { BUSY_ASK, BUSY_WAIT, BUSY_CANCEL };

static bool yes(const struct cli *cli, const struct bg_err *busy)
{
	char answer[16] = "";

	if (!cli->err.tty || !isatty(STDIN_FILENO))
		return false;
	fprintf(cli->err.file,
		"%s\nStop all the same? Builds, pulls and imports are cancelled. [y/N] ",
		busy->message);
	fflush(cli->err.file);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Until the first of those that run has ended. */
static int wait_for_one(struct cli *cli, struct bg_err **err)
{
	_json_ json_t *reply = NULL;
	_unref_(bg_http) struct bg_http *h = NULL;
	_pulse_ struct pulse pulse;
	const json_t *op, *first = NULL;
	const char *data;
	size_t i, len = 1;
	int r = client_call(cli, CLIENT_NO_START, ROUTE_OP_LIST, NULL, NULL, &reply, err);

	json_array_foreach (json_object_get(reply, "operations"), i, op)
		if (bg_streq(render_text(op, "state"), "running"))
			first = op;
	if (r < 0 || !first)
		return r;
	fprintf(cli->err.file, "waiting for %s of \"%s\"\n", render_text(first, "kind"),
		render_text(first, "target"));
	pulse_init(&pulse, cli);
	r = client_stream(cli, ROUTE_OP_FOLLOW, render_text(first, "id"), NULL, &h, err);
	while (r >= 0 && len > 0)
		r = pulse_next_raw(&pulse, h, &data, &len, err);
	return r;
}

/* One try; a daemon of an earlier version takes no body. */
static int ask_to_stop(struct cli *cli, bool if_idle, struct bg_err **err)
{
	_json_ json_t *d = NULL, *body = if_idle ? json_pack("{s:b}", "if_idle", true) : NULL;
	_err_ struct bg_err *e = NULL;
	int r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STOP, NULL, body, &d, &e);

	if (r < 0 && if_idle && e->code == BG_ERR_BAD_REQUEST)
		return ask_to_stop(cli, false, err);
	/* It may be gone before its answer is out: then its end is what counts. */
	if (r >= 0 || e->code == BG_ERR_DAEMON_UNREACHABLE)
		return 0;
	*err = TAKE_PTR(e);
	return r;
}

static int stop_when(struct cli *cli, enum if_busy busy, struct bg_err **err)
{
	int r;

	for (;;) {
		r = ask_to_stop(cli, busy != BUSY_CANCEL, err);
		if (r >= 0 || (*err)->code != BG_ERR_DAEMON_BUSY)
			return r;
		if (busy == BUSY_ASK && !yes(cli, *err))
			return r;
		bg_err_free(TAKE_PTR(*err));
		if (busy == BUSY_ASK)
			busy = BUSY_CANCEL;
		r = busy == BUSY_WAIT ? wait_for_one(cli, err) : 0;
		if (r < 0)
			return r;
	}
}

static int stop_and_wait(struct cli *cli, int pidfd, enum if_busy busy, struct bg_err **err)
{
	int r = stop_when(cli, busy, err);

	if (r < 0)
		return r;
	if (pidfd >= 0)
		return launch_wait_gone(pidfd, STOP_TIMEOUT_S, err);
	/* -ESRCH: it was gone before we looked. */
	return pidfd == -ESRCH ? 0 : bg_err_sys(err, BG_ERR_IO, -pidfd, "watch the daemon end");
}

/* *running: VMs that run on; -1: not known. false: there was no daemon. */
static int stop_asked(
	struct cli *cli, enum if_busy busy, bool *was, long long *running, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	_err_ struct bg_err *e = NULL;
	int pidfd, r;

	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, &e);
	*was = r >= 0 || !absent(e);
	if (!*was)
		return 0;
	if (r < 0) {
		*err = TAKE_PTR(e);
		return r;
	}
	*running = (long long)render_int(json_object_get(d, "vms"), "running");
	pidfd = open_monitor(d);
	r = stop_and_wait(cli, pidfd, busy, err);
	bg_close(pidfd);
	return r;
}

static int stop(struct cli *cli, const struct args *args, bool *was, long long *running,
	struct bg_err **err)
{
	enum if_busy busy = args_has(args, "--cancel") ? BUSY_CANCEL
			    : args_has(args, "--wait") ? BUSY_WAIT
						       : BUSY_ASK;

	*running = -1;
	*was = daemon_proc_pid(cli) > 0;
	if (args_has(args, "--force"))
		return daemon_proc_end(cli, err);
	return stop_asked(cli, busy, was, running, err);
}

int daemon_make_room(struct cli *cli, const struct args *args, struct bg_err **err)
{
	long long running;
	bool was;

	return stop(cli, args, &was, &running, err);
}

int daemon_stop(struct cli *cli, const struct args *args, struct bg_err **err)
{
	long long running;
	bool was;
	int r;

	r = stop(cli, args, &was, &running, err);
	if (r < 0)
		return r;
	if (!was)
		fprintf(cli->out.file, "the daemon is not running\n");
	else if (running > 0)
		fprintf(cli->out.file, "the daemon stopped; %lld VM%s on\n", running,
			running == 1 ? " runs" : "s run");
	else
		fprintf(cli->out.file, "the daemon stopped\n");
	return BG_EXIT_OK;
}

int daemon_restart(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_unref_(config) struct config *config = NULL;
	long long running;
	bool was;
	int r;

	r = config_load(cli->paths.config_file, &config, err);
	if (r >= 0)
		r = stop(cli, args, &was, &running, err);
	return r < 0 ? r : start_and_tell(cli, was ? "was restarted" : "was started", err);
}
