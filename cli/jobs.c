/* SPDX-License-Identifier: ISC */
/*
 * jobs.c: One poll() loop over all operations that run. Records come from each operation's event
 * stream; the daemon's silence is watched by pulse.c.
 */
#include "cli/jobs.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "cli/daemon_proc.h"
#include "cli/progress.h"
#include "common/clock.h"
#include "common/json.h"

enum {
	AT_ONCE = 8,
	LOOK_MS = 5000,
	SILENT_S = 30 /* three times as long as a living daemon is silent */
};

struct run {
	struct cli *cli;
	const char *verb;
	struct job *jobs;
	size_t count;
	job_report *report;
	struct progress *progress;
	size_t next; /* the first job that is not asked for yet */
	int signals; /* signalfd for SIGINT */
	int interrupts;
};

static bool over(const struct job *job)
{
	return job->state == JOB_DONE || job->state == JOB_FAILED;
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Whether the text has the name as a word of its own. */
static bool mentions(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = text; (p = strstr(p, name)); p++)
		if ((p == text || !word_char(p[-1])) && !word_char(p[len]))
			return true;
	return false;
}

static void job_failed(struct run *run, struct job *job)
{
	struct term *t = &run->cli->err;

	bg_http_free(TAKE_PTR(job->http));
	job->state = JOB_FAILED;
	progress_end(run->progress, (size_t)(job - run->jobs));
	progress_clear(run->progress);
	if (run->count > 1 && !mentions(job->err->message, job->name))
		bg_err_context(&job->err, "%s %s", run->verb, job->name);
	fflush(run->cli->out.file);
	daemon_proc_explain(run->cli, job->err);
	if (!job->keep_error)
		render_error(t, job->err);
	fflush(t->file);
}

static void job_done(struct run *run, struct job *job)
{
	bg_http_free(TAKE_PTR(job->http));
	job->state = JOB_DONE;
	progress_end(run->progress, (size_t)(job - run->jobs));
	progress_clear(run->progress);
	if (!run->cli->json)
		run->report(run->cli, job);
	fflush(run->cli->out.file);
}

/* Judges the record that ended the operation. */
static void job_ended(struct run *run, struct job *job)
{
	const char *state = render_text(job->op, "state");
	const json_t *e = NULL;

	if (bg_streq(state, "done") || (job->cancels && bg_streq(state, "cancelled"))) {
		job_done(run, job);
		return;
	}
	if (bg_json_get_obj(job->op, "error", &e) >= 0)
		bg_err_from_json(e, &job->err);
	else if (bg_streq(state, "cancelled"))
		bg_err_set(&job->err, BG_ERR_CANCELLED, ECANCELED, "%s %s was cancelled", run->verb,
			job->name);
	else
		bg_err_set(&job->err, BG_ERR_INTERNAL, EPROTO, "%s %s failed without a reason",
			run->verb, job->name);
	job_failed(run, job);
}

static bool op_ended(const json_t *op)
{
	return !bg_streq(render_text(op, "state"), "running");
}

/* The operation of another goes on without us. */
static void leave(struct run *run, struct job *job)
{
	bg_err_set(&job->err, BG_ERR_CANCELLED, ECANCELED, "%s %s was cancelled", run->verb,
		job->name);
	job_failed(run, job);
}

/* Its answer does not matter: the stream tells how the operation ends. */
static void cancel(struct run *run, struct job *job)
{
	if (job->follows && !over(job))
		leave(run, job);
	if (job->cancel || job->state != JOB_FOLLOWING)
		return;
	(void)client_send(run->cli, CLIENT_NO_START, ROUTE_OP_CANCEL, render_text(job->op, "id"),
		NULL, NULL, &job->cancel, NULL);
}

static int follow(struct run *run, struct job *job)
{
	bg_http_free(TAKE_PTR(job->http));
	job->state = JOB_FOLLOWING;
	return client_send(run->cli, CLIENT_NO_START, ROUTE_OP_FOLLOW, render_text(job->op, "id"),
		NULL, NULL, &job->http, &job->err);
}

static void new_record(struct run *run, struct job *job, json_t *op)
{
	json_t *old = job->op;

	job->op = op;
	progress_update(run->progress, (size_t)(job - run->jobs), op);
	json_decref(old);
}

/* The request's whole answer is in. */
static int asked(struct run *run, struct job *job)
{
	_json_ json_t *body = NULL;
	json_t *op;
	int r, status = bg_http_status(job->http);

	r = bg_http_next_json(job->http, &body, status < 300 ? &job->err : NULL);
	if (status >= 300)
		return bg_http_error(status, body, &job->err);
	if (r < 0)
		return r;
	op = json_object_get(body, "operation");
	if (!json_is_object(op))
		return bg_err_set(
			&job->err, BG_ERR_INTERNAL, EPROTO, "the daemon's answer has no operation");
	new_record(run, job, json_incref(op));
	r = follow(run, job);
	if (r >= 0 && run->interrupts)
		cancel(run, job);
	return r;
}

static int followed(struct run *run, struct job *job)
{
	int status = bg_http_status(job->http);
	json_t *record;

	if (status >= 300) {
		_json_ json_t *body = NULL;

		if (!bg_http_ended(job->http))
			return 0;
		(void)bg_http_next_json(job->http, &body, NULL);
		return bg_http_error(status, body, &job->err);
	}
	for (;;) {
		int r = bg_http_take_line(job->http, &record, &job->err);

		if (r < 0 || !record)
			return r;
		new_record(run, job, record);
	}
}

static int went_away(struct job *job)
{
	bg_err_free(TAKE_PTR(job->err));
	bg_err_set(&job->err, BG_ERR_DAEMON_UNREACHABLE, ECONNRESET,
		"the daemon went away while it worked on %s", job->name);
	bg_err_hint(&job->err, "the next daemon undoes it or shows it: look with `banger vm list` "
			       "or `banger image list`, then try again");
	return -ECONNRESET;
}

static int step(struct run *run, struct job *job)
{
	int r = bg_http_pump(job->http, &job->err);

	if (r < 0 && job->state == JOB_FOLLOWING && job->err->code == BG_ERR_DAEMON_UNREACHABLE &&
		job->err->errnum == ECONNRESET)
		return went_away(job);
	if (r < 0 || (job->state == JOB_ASKED && !bg_http_ended(job->http)))
		return r;
	if (job->state == JOB_ASKED)
		return asked(run, job);
	r = followed(run, job);
	return r >= 0 && bg_http_ended(job->http) && !op_ended(job->op) ? went_away(job) : r;
}

static void handle(struct run *run, struct job *job)
{
	int r;

	job->heard_ms = bg_now_ms();
	r = step(run, job);
	if (r < 0)
		job_failed(run, job);
	else if (job->state == JOB_FOLLOWING && op_ended(job->op))
		job_ended(run, job);
	else if (job->state == JOB_FOLLOWING && job->enough && job->enough(job->op))
		job_done(run, job);
}

/* Returns false when the user wants to leave at once. */
static bool handle_interrupt(struct run *run)
{
	struct signalfd_siginfo si;
	struct term *t = &run->cli->err;

	if (read(run->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return true;
	progress_clear(run->progress);
	if (run->interrupts++) {
		fprintf(t->file, "left; the daemon goes on cancelling\n");
		return false;
	}
	fprintf(t->file, "cancelling (Ctrl-C again leaves at once)\n");
	for (size_t i = 0; i < run->count; i++)
		cancel(run, &run->jobs[i]);
	return true;
}

static size_t active_jobs(const struct run *run)
{
	size_t active = 0;

	for (size_t i = 0; i < run->next; i++)
		active += !over(&run->jobs[i]);
	return active;
}

static int begin(struct run *run, struct job *job)
{
	job->heard_ms = bg_now_ms();
	if (job->follows) {
		job->op = json_pack("{s:s, s:s}", "id", job->follows, "state", "running");
		return follow(run, job);
	}
	job->state = JOB_ASKED;
	return client_send(run->cli, CLIENT_START, job->route, job->name, job->query, job->body,
		&job->http, &job->err);
}

/* As many as may go on at once; none any more after Ctrl-C. */
static void ask_next(struct run *run)
{
	size_t limit = run->cli->parallel ? run->cli->parallel : AT_ONCE;

	while (!run->interrupts && run->next < run->count && active_jobs(run) < limit) {
		struct job *job = &run->jobs[run->next++];

		if (begin(run, job) < 0)
			job_failed(run, job);
	}
}

static size_t fill_poll(struct run *run, struct pollfd *pfds)
{
	size_t active = 0;

	pfds[run->count] = (struct pollfd){.fd = run->signals, .events = POLLIN};
	for (size_t i = 0; i < run->count; i++) {
		bool wait = run->jobs[i].http && !over(&run->jobs[i]);

		pfds[i] = (struct pollfd){
			.fd = wait ? bg_http_fd(run->jobs[i].http) : -1, .events = POLLIN};
		active += wait;
	}
	return active;
}

static int wait_ms(const struct run *run)
{
	int ms = progress_interval_ms(run->progress);

	return ms < 0 ? LOOK_MS : BG_MIN(ms, (int)LOOK_MS);
}

/* A daemon that works on something says so every ten seconds, if nothing else. */
static void check_silence(struct run *run, struct job *job)
{
	unsigned limit = job->state == JOB_ASKED ? bg_http_timeout_s()
						 : BG_MAX(bg_http_timeout_s(), (unsigned)SILENT_S);

	if (bg_now_ms() - job->heard_ms < (uint64_t)limit * 1000)
		return;
	(void)bg_http_no_answer(&job->err);
	job_failed(run, job);
}

/* Until every job has ended; false when the user left. */
static bool loop(struct run *run)
{
	_free_ struct pollfd *pfds = calloc(run->count + 1, sizeof(*pfds));

	if (!pfds)
		abort();
	for (ask_next(run); fill_poll(run, pfds) > 0; ask_next(run)) {
		progress_draw(run->progress);
		if (poll(pfds, run->count + 1, wait_ms(run)) < 0)
			continue;
		if ((pfds[run->count].revents & POLLIN) && !handle_interrupt(run))
			return false;
		for (size_t i = 0; i < run->count; i++)
			if (pfds[i].revents)
				handle(run, &run->jobs[i]);
			else if (pfds[i].fd >= 0)
				check_silence(run, &run->jobs[i]);
	}
	return true;
}

static void print_records(const struct run *run)
{
	_json_ json_t *list = json_array();
	json_t *result;

	for (size_t i = 0; i < run->count; i++) {
		result = run->jobs[i].state == JOB_DONE ? json_object_get(run->jobs[i].op, "result")
							: NULL;
		if (json_is_object(result))
			json_array_append(list, result);
	}
	if (run->count > 1 || run->cli->listed)
		render_json(&run->cli->out, list);
	else if (json_array_size(list) > 0)
		render_json(&run->cli->out, json_array_get(list, 0));
}

static size_t count_state(const struct run *run, enum job_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < run->count; i++)
		n += run->jobs[i].state == state;
	return n;
}

/* "banger: 2 of 5 failed: b, c": errors may have scrolled away between the lines of the others. */
static void sum_up(const struct run *run, enum job_state state, const char *what)
{
	const struct term *t = &run->cli->err;
	size_t n = count_state(run, state);
	const char *comma = "";

	if (run->count < 2 || n == 0)
		return;
	fprintf(t->file, "%sbanger:%s %zu of %zu %s: ", term_style(t, STYLE_RED), term_plain(t), n,
		run->count, what);
	for (size_t i = 0; i < run->count; i++) {
		if (run->jobs[i].state != state)
			continue;
		fprintf(t->file, "%s%s", comma, run->jobs[i].name);
		comma = ", ";
	}
	fputc('\n', t->file);
}

static int finish(const struct run *run, bool stayed)
{
	int status = BG_EXIT_OK;

	sum_up(run, JOB_FAILED, "failed");
	sum_up(run, JOB_IDLE, "not begun");

	if (run->cli->json)
		print_records(run);
	for (size_t i = 0; i < run->count; i++) {
		const struct job *job = &run->jobs[i];

		if (run->cli->timing && job->op)
			progress_timing(&run->cli->err, job->name, job->op);
		if (status == BG_EXIT_OK && job->state == JOB_FAILED)
			status = (int)bg_err_code_exit(job->err->code);
	}
	/* Ctrl-C may come too late: what is done is done, and said to be */
	if (!stayed || (run->interrupts && count_state(run, JOB_IDLE) > 0))
		return BG_EXIT_CANCELLED;
	return status;
}

static int catch_interrupts(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int jobs_run(struct cli *cli, const char *verb, struct job *jobs, size_t count, job_report *report)
{
	struct run run = {.cli = cli, .verb = verb, .jobs = jobs, .count = count, .report = report};
	_unref_(progress) struct progress *progress = NULL;
	_free_ const char **names = calloc(count, sizeof(*names));
	_close_ int signals = -1;
	sigset_t old;
	bool stayed;
	int status;

	if (!names)
		abort();
	for (size_t i = 0; i < count; i++)
		names[i] = jobs[i].name;
	run.progress = progress = progress_new(&cli->err, names, count);
	/* Before Ctrl-C is caught: starting the daemon may take long. When it cannot start, once is enough. */
	stayed = count == 0 || client_wake(cli, &jobs[0].err) >= 0;
	if (!stayed) {
		run.next = 1;
		job_failed(&run, &jobs[0]);
		return finish(&run, true);
	}
	run.signals = signals = catch_interrupts(&old);
	stayed = loop(&run);
	status = finish(&run, stayed);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

void jobs_done(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bg_http_free(jobs[i].http);
		bg_http_free(jobs[i].cancel);
		json_decref(jobs[i].body);
		json_decref(jobs[i].op);
		bg_err_free(jobs[i].err);
	}
}

int job_run_one(struct cli *cli, const char *verb, const char *name, enum route route, json_t *body,
	job_report *report)
{
	struct job job = {.name = name, .route = route, .body = body};
	int status = jobs_run(cli, verb, &job, 1, report);

	jobs_done(&job, 1);
	return status;
}

int jobs_run_names(struct cli *cli, const char *verb, char *const *names, size_t count,
	enum route route, job_report *report)
{
	_free_ struct job *jobs = calloc(count, sizeof(*jobs));
	size_t n = 0;
	int r;

	if (!jobs)
		return BG_EXIT_FAILED;
	for (size_t i = 0; i < count; i++) {
		bool again = false;

		for (size_t j = 0; j < n && !again; j++)
			again = bg_streq(jobs[j].name, names[i]);
		if (!again)
			jobs[n++] = (struct job){.name = names[i], .route = route};
	}
	r = jobs_run(cli, verb, jobs, n, report);
	jobs_done(jobs, n);
	return r;
}
