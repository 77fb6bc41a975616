/* SPDX-License-Identifier: ISC */
/* app.c: Effects that ui.h asks for are functions fx_*; callbacks of the loop are on_*. */
#include "tui/app.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "common/clock.h"
#include "common/http_parse.h"
#include "common/json.h"
#include "tui/draw.h"
#include "tui/job.h"
#include "tui/link.h"

enum { FRAME_MS = 40, OUTPUT_MAX = 256 * 1024, ARGS_MAX = 140, SHORT_RUN_MS = 1000 };

struct app {
	const struct app_options *options;
	const struct bg_paths *paths;
	struct event_base *base;
	struct ui ui;
	struct grid grid;
	struct link *link;
	struct jobs *jobs;
	struct event *input, *frame, *tick, *signals[8], *stop;
	bool dirty, away; /* away: another program has the terminal */
	bool tried;	  /* the daemon's start, at the beginning */
	bool read_on;	  /* a program ended at once: Enter comes back from what it said */
	int64_t drawn, child_began;
	char child[64];
	struct bg_buf output; /* of doctor, of the daemon's start */
	size_t turn;	      /* whose guest is asked next */
	int status;
};

static int64_t now_ms(void)
{
	return (int64_t)bg_now_ms();
}

static int64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- drawing ---- */

/* Arms what changes the screen by itself: not while nobody sees it. */
static void arm_tick(struct app *app)
{
	int ms = draw_next(&app->ui);
	const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)event_del(app->tick);
	if (ms >= 0 && !app->away)
		(void)event_add(app->tick, &wait);
}

static void draw_now(struct app *app)
{
	int rows, columns;

	app->dirty = false;
	if (app->away)
		return;
	tty_size(&rows, &columns);
	app->ui.model.now = wall_ms();
	if (grid_reset(&app->grid, rows, columns) < 0)
		return;
	app->grid.ascii = tty_is_ascii();
	draw(&app->ui, &app->grid);
	tty_show(&app->grid);
	app->drawn = now_ms();
	arm_tick(app);
	if (app->options->idle_fd >= 0)
		(void)!write(app->options->idle_fd, ".", 1);
}

static void on_frame(evutil_socket_t fd, short what, void *userdata)
{
	struct app *app = userdata;

	(void)fd;
	(void)what;
	if (app->dirty)
		draw_now(app);
}

/* Draws after the batch: at once when the last frame is old enough. */
static void change(struct app *app)
{
	int64_t wait = app->drawn + FRAME_MS - now_ms();
	const struct timeval tv = {
		.tv_usec = (suseconds_t)BG_MAX(BG_MIN(wait, (int64_t)FRAME_MS), (int64_t)0) * 1000};

	app->ui.model.now = wall_ms();
	if (app->dirty)
		return;
	app->dirty = true;
	(void)event_add(app->frame, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *userdata)
{
	(void)fd;
	(void)what;
	change(userdata);
}

/* ---- the terminal, taken and given ---- */

static void leave(struct app *app)
{
	app->away = true;
	(void)event_del(app->input);
	(void)event_del(app->tick);
	tty_leave();
}

static void come_back(struct app *app)
{
	tty_return();
	app->away = false;
	(void)event_add(app->input, NULL);
	change(app);
}

static void suspend(struct app *app)
{
	leave(app);
	(void)event_del(app->stop);
	(void)signal(SIGTSTP, SIG_DFL);
	(void)kill(0, SIGTSTP);
	(void)event_add(app->stop, NULL);
	come_back(app); /* of an orphaned group it has done nothing */
}

static void on_stop_signal(evutil_socket_t signo, short what, void *userdata)
{
	struct app *app = userdata;

	(void)signo;
	(void)what;
	if (!app->away)
		suspend(app);
}

static void take_mouse(struct app *app, const struct tty_input *in)
{
	ui_mouse(&app->ui, in->mouse, in->row, in->column);
}

static bool is_gone(int fd)
{
	struct pollfd pfd = {.fd = fd};

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR));
}

/* What a program said before it ended was read. */
static void read_enter(struct app *app, int fd)
{
	char text[256];

	if (read(fd, text, sizeof(text)) < 0 && errno == EINTR)
		return;
	app->read_on = false;
	(void)event_del(app->input);
	come_back(app);
}

static void on_input(evutil_socket_t fd, short what, void *userdata)
{
	struct app *app = userdata;
	struct tty_input in = {0};
	enum input input;
	int waiting = 0;

	(void)what;
	if (app->read_on) {
		read_enter(app, fd);
		return;
	}
	while (!app->away && (input = tty_next(&in)) != INPUT_NONE) {
		waiting++;
		if (input == INPUT_KEY)
			ui_key(&app->ui, in.key);
		else if (input == INPUT_PASTE)
			ui_paste(&app->ui, in.paste);
		else if (input == INPUT_MOUSE)
			take_mouse(app, &in);
		else
			tty_forget();
	}
	if (!waiting && !app->away && is_gone(fd)) { /* the terminal was closed */
		app->status = 128 + SIGHUP;
		event_base_loopbreak(app->base);
	}
	change(app);
}

/* ---- signals ---- */

static void on_resize(evutil_socket_t signo, short what, void *userdata)
{
	(void)signo;
	(void)what;
	change(userdata);
}

static void on_end_signal(evutil_socket_t signo, short what, void *userdata)
{
	struct app *app = userdata;

	(void)what;
	if (app->away && (signo == SIGINT || signo == SIGQUIT))
		return; /* the program's in front */
	app->status = 128 + (int)signo;
	event_base_loopbreak(app->base);
}

static int add_signals(struct app *app)
{
	static const struct {
		int signo;
		event_callback_fn fn;
	} rows[] = {{SIGWINCH, on_resize}, {SIGTERM, on_end_signal}, {SIGHUP, on_end_signal},
		{SIGINT, on_end_signal}, {SIGQUIT, on_end_signal}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		app->signals[i] = evsignal_new(app->base, rows[i].signo, rows[i].fn, app);
		if (!app->signals[i] || event_add(app->signals[i], NULL) < 0)
			return -ENOMEM;
	}
	app->stop = evsignal_new(app->base, SIGTSTP, on_stop_signal, app);
	(void)signal(SIGPIPE, SIG_IGN);
	return app->stop && event_add(app->stop, NULL) == 0 ? 0 : -ENOMEM;
}

/* ---- what the UI asks for ---- */

static void fx_call(void *u, enum call_for why, const char *method, const char *path, json_t *body,
	const char *what)
{
	struct app *app = u;

	link_call(app->link, why, method, path, body, what);
}

static int start_banger(struct app *app, enum job_kind kind, const char *const *args)
{
	const char *argv[ARGS_MAX + 2] = {app->options->banger};

	for (int i = 0; i < ARGS_MAX && args[i]; i++)
		argv[i + 1] = args[i];
	return jobs_start(app->jobs, kind, argv, -1);
}

static void with_terminal(struct app *app, const char *const *argv, const char *words, int in)
{
	int r;

	leave(app);
	dprintf(tty_fd(), "\r\n%s\r\n", words);
	app->child_began = now_ms();
	snprintf(app->child, sizeof(app->child), "%s", words);
	r = jobs_start(app->jobs, JOB_TERMINAL, argv, in);
	if (r >= 0)
		return;
	come_back(app);
	ui_say(&app->ui, true, "%s cannot be started: %s", argv[0], strerror(-r));
}

/* The names in args are names of the daemon's: plain characters. */
static void fx_run(void *u, const char *const *args)
{
	struct app *app = u;
	const char *argv[ARGS_MAX + 2] = {app->options->banger};
	char words[64] = "banger";
	size_t len = strlen(words);

	for (int i = 0; i < ARGS_MAX && args[i]; i++) {
		argv[i + 1] = args[i];
		if (len < sizeof(words))
			len += (size_t)snprintf(words + len, sizeof(words) - len, " %s", args[i]);
	}
	with_terminal(app, argv, words, -1);
}

static void fx_capture(void *u, const char *const *args)
{
	struct app *app = u;

	if (start_banger(app, JOB_CAPTURE, args) < 0)
		ui_say(&app->ui, true, "another command's output is still being read");
}

static void fx_follow(void *u, const char *path)
{
	struct app *app = u;

	link_follow(app->link, path);
	if (!path)
		jobs_end(app->jobs, JOB_CAPTURE);
}

static void fx_doctor(void *u)
{
	struct app *app = u;

	bg_buf_done(&app->output);
	if (start_banger(app, JOB_DOCTOR, (const char *const[]){"doctor", "--json", NULL}) < 0)
		app->ui.model.checks_running = false;
}

static void fx_copy(void *u, const char *text)
{
	(void)u;
	tty_copy(text);
}

/* The text in a file that has no name, as the pager's input. */
static void fx_page(void *u)
{
	struct app *app = u;
	const struct pager *p = &app->ui.pager;
	const char *pager = getenv("PAGER");
	const char *argv[] = {"sh", "-c", pager && *pager ? pager : "less", NULL};
	int fd = memfd_create("banger-text", MFD_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < p->count; i++)
		dprintf(fd, "%s\n", p->lines[i]);
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return;
	with_terminal(app, argv, argv[2], fd);
}

static void fx_mouse(void *u, bool on)
{
	(void)u;
	tty_mouse(on);
}

static void start_daemon(struct app *app)
{
	bg_buf_done(&app->output);
	if (start_banger(app, JOB_DAEMON, (const char *const[]){"daemon", "start", NULL}) >= 0)
		app->ui.model.link = LINK_STARTING;
}

static void fx_reread(void *u)
{
	struct app *app = u;

	if (app->ui.model.link == LINK_UP)
		link_again(app->link);
	else
		start_daemon(app);
}

static void fx_repaint(void *u)
{
	(void)u;
	tty_forget();
}

static void fx_suspend(void *u)
{
	suspend(u);
}

static void fx_quit(void *u)
{
	struct app *app = u;

	event_base_loopbreak(app->base);
}

static const struct effects effects = {
	.call = fx_call,
	.run = fx_run,
	.capture = fx_capture,
	.follow = fx_follow,
	.doctor = fx_doctor,
	.copy = fx_copy,
	.page = fx_page,
	.mouse = fx_mouse,
	.reread = fx_reread,
	.repaint = fx_repaint,
	.suspend = fx_suspend,
	.quit = fx_quit,
};

/* ---- what comes of the daemon and of programs ---- */

static void ask_one(struct app *app, const struct item *item)
{
	char path[160];

	if (!item || !item_bool(item->record, "ready"))
		return;
	snprintf(path, sizeof(path), "/v1/vms/%s/usage", item_name(KIND_VM, item));
	link_call(app->link, CALL_GUEST, "GET", path, NULL, item_name(KIND_VM, item));
}

/*
 * Each time that the host's numbers come, the guest's own are asked of two: of the VM under the cursor, and of
 * the next in turn. So a hundred guests are not all woken for a look at one.
 */
static void ask_guests(struct app *app, const json_t *line)
{
	const struct list *vms = &app->ui.model.lists[KIND_VM];
	const struct item *item = app->ui.view == KIND_VM ? ui_current(&app->ui) : NULL;

	if (app->ui.view != KIND_VM || app->away || !bg_streq(item_text(line, "type"), "usage"))
		return;
	ask_one(app, item);
	for (size_t i = 0; i < vms->count; i++) {
		const struct item *next = &vms->items[app->turn++ % vms->count];

		if (next == item || !item_bool(next->record, "ready"))
			continue;
		ask_one(app, next);
		return;
	}
}

static void on_line(void *u, const json_t *line)
{
	struct app *app = u;

	ui_line(&app->ui, line);
	ask_guests(app, line);
	change(app);
}

static void on_begin(void *u)
{
	struct app *app = u;

	app->tried = true; /* one that is stopped later is not started again unasked */
	model_begin(&app->ui.model);
	link_call(app->link, CALL_DAEMON, "GET", "/v1/daemon", NULL, "daemon");
}

static void on_lost(void *u, bool absent)
{
	struct app *app = u;
	struct model *m = &app->ui.model;

	if (m->link == LINK_UP)
		m->link = LINK_DOWN;
	if (absent && !app->tried) {
		app->tried = true;
		start_daemon(app);
	}
	if (m->link != LINK_STARTING && (app->tried || m->heard))
		m->link = LINK_DOWN;
	change(app);
}

static void on_reply(void *u, enum call_for why, const char *what, const json_t *reply,
	const char *error, const char *hint)
{
	struct app *app = u;

	ui_reply(&app->ui, why, what, reply, error, hint);
	change(app);
}

static void on_raw(void *u, const char *data, size_t len)
{
	struct app *app = u;

	if (len > 0)
		pager_feed(&app->ui.pager, data, len);
	else
		pager_end(&app->ui.pager);
	change(app);
}

static void on_output(void *u, enum job_kind kind, const char *data, size_t len)
{
	struct app *app = u;

	if (kind == JOB_CAPTURE)
		pager_feed(&app->ui.pager, data, len);
	else if (app->output.len + len < OUTPUT_MAX)
		(void)bg_buf_append(&app->output, data, len);
	change(app);
}

static void doctor_ended(struct app *app)
{
	_json_ json_t *report =
		json_loadb(app->output.data ? app->output.data : "", app->output.len, 0, NULL);

	ui_checks(&app->ui, report);
	if (!report)
		ui_say(&app->ui, true, "`banger doctor --json` has not told anything");
}

/* Its first line is the error. */
static void daemon_ended(struct app *app, int status)
{
	const char *text = app->output.data ? app->output.data : "";
	size_t len = strcspn(text, "\n");

	if (app->ui.model.link == LINK_STARTING)
		app->ui.model.link = LINK_DOWN;
	if (status)
		snprintf(app->ui.daemon_error, sizeof(app->ui.daemon_error), "%.*s",
			(int)BG_MIN(len, app->output.len), text);
	else
		app->ui.model.link = LINK_CONNECTING;
	link_again(app->link);
}

static void terminal_ended(struct app *app, int status)
{
	ui_child_ended(&app->ui, app->child, status);
	if (status && now_ms() - app->child_began < SHORT_RUN_MS) {
		dprintf(tty_fd(), "\r\n(it ended with status %d: Enter goes back to banger)",
			status);
		app->read_on = true;
		(void)event_add(app->input, NULL);
	} else {
		come_back(app);
	}
}

static void on_job_end(void *u, enum job_kind kind, int status)
{
	struct app *app = u;

	if (kind == JOB_TERMINAL) {
		terminal_ended(app, status);
	} else if (kind == JOB_DOCTOR) {
		doctor_ended(app);
	} else if (kind == JOB_DAEMON) {
		daemon_ended(app, status);
	} else {
		if (app->ui.pager.open && app->ui.pager.count == 0 && app->ui.pager.part_len == 0)
			pager_printf(&app->ui.pager,
				status ? "it ended with status %d" : "nothing has changed", status);
		pager_end(&app->ui.pager);
	}
	change(app);
}

/* ^Z in it: it is ended, since nothing here would bring it back. */
static void on_job_stop(void *u)
{
	struct app *app = u;

	jobs_end(app->jobs, JOB_TERMINAL);
}

static const struct link_user link_user = {.on_line = on_line,
	.on_begin = on_begin,
	.on_lost = on_lost,
	.on_reply = on_reply,
	.on_raw = on_raw};
static const struct job_user job_user = {
	.on_output = on_output, .on_end = on_job_end, .on_stop = on_job_stop};

/* ---- the whole ---- */

static int prepare(struct app *app)
{
	struct event_config *config = event_config_new();

	if (!config)
		return -ENOMEM;
	app->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!app->base || add_signals(app) < 0)
		return -ENOMEM;
	app->frame = evtimer_new(app->base, on_frame, app);
	app->tick = evtimer_new(app->base, on_tick, app);
	return app->frame && app->tick ? 0 : -ENOMEM;
}

static int begin(struct app *app, struct bg_err **err)
{
	int r = tty_open(&app->options->tty, err);

	if (r < 0)
		return r;
	draw_now(app); /* before anything is asked */
	app->input = event_new(app->base, tty_fd(), EV_READ | EV_PERSIST, on_input, app);
	if (!app->input || event_add(app->input, NULL) < 0)
		r = -ENOMEM;
	if (r >= 0)
		r = jobs_new(app->base, tty_fd(), &job_user, app, &app->jobs);
	if (r >= 0)
		r = link_new(app->base, app->paths->socket, &link_user, app, &app->link);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "begin the event loop") : 0;
}

static void end(struct app *app)
{
	link_free(app->link);
	if (app->input)
		event_free(app->input);
	tty_close();
	jobs_free(app->jobs);
	for (size_t i = 0; i < ARRAY_SIZE(app->signals); i++)
		if (app->signals[i])
			event_free(app->signals[i]);
	if (app->stop)
		event_free(app->stop);
	if (app->frame)
		event_free(app->frame);
	if (app->tick)
		event_free(app->tick);
	if (app->base)
		event_base_free(app->base);
	bg_buf_done(&app->output);
	grid_done(&app->grid);
}

static void last_words(const struct app *app)
{
	unsigned running = ui_running_ops(&app->ui);
	struct rusage use;

	if (running)
		fprintf(stderr, "%u operation%s go%s on in bangerd.\n", running,
			running == 1 ? "" : "s", running == 1 ? "es" : "");
	if (!app->options->numbers)
		return;
	getrusage(RUSAGE_SELF, &use);
	fprintf(stderr, "rss_kib=%ld cpu_ms=%ld voluntary=%ld\n", use.ru_maxrss,
		(long)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 +
			(long)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000,
		use.ru_nvcsw);
}

int app_run(const struct app_options *options, const struct bg_paths *paths, struct bg_err **err)
{
	struct app app = {.options = options, .paths = paths};
	int r;

	ui_init(&app.ui, &effects, &app);
	r = prepare(&app);
	r = r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "make the event loop") : begin(&app, err);
	if (r >= 0)
		(void)event_base_dispatch(app.base);
	end(&app);
	if (r >= 0)
		last_words(&app);
	ui_done(&app.ui);
	return r < 0 ? r : app.status;
}
