/* SPDX-License-Identifier: ISC */
/*
 * cmd_bench.c: `banger bench`: makes VMs one after the other, then several at once, and the bare VMM beside them. The VMs are its own, by
 * name and label, and are deleted again whatever happens: Ctrl-C is held back, cancels what is being made, and what is left goes
 * before it exits. Only kill -9 leaves VMs: `banger vm list --label banger.bench` shows them.
 */
#include "cli/cmd_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "cli/bench_bare.h"
#include "cli/bench_report.h"
#include "cli/jobs.h"
#include "cli/vm_body.h"
#include "common/clock.h"
#include "common/json.h"

enum { COUNT_DEFAULT = 5, COUNT_MAX = 50, AT_ONCE_DEFAULT = 4, NAME_SIZE = 40, CLEAN_TRIES = 3 };
#define BENCH_LABEL "banger.bench"

struct bench {
	struct cli *cli, quiet; /* quiet: of jobs, whose lines would be in the way */
	json_t *body;		/* of each create but for its name */
	unsigned count, at_once;
	bool with_bare, interrupted;
	char (*names)[NAME_SIZE]; /* that were asked for; "" once deleted */
	size_t n_names;
	struct bare *bare;
	struct bg_err *bare_error;
	struct bench_report report;
};

/* ---- signals ---- */

static void ask_to_end(int sig)
{
	(void)sig;
	(void)kill(getpid(), SIGINT); /* one way for all: held back, and looked for */
}

static void hold_interrupts(sigset_t *old)
{
	static const int signals[] = {SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = ask_to_end, .sa_flags = SA_RESTART};
	sigset_t set;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, old);
}

static bool take_interrupt(struct bench *b)
{
	const struct timespec now = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	while (sigtimedwait(&set, NULL, &now) == SIGINT)
		b->interrupted = true;
	return b->interrupted;
}

/* ---- VMs ---- */

static void say_nothing(struct cli *cli, const struct job *job)
{
	(void)cli;
	(void)job;
}

static const char *new_name(struct bench *b)
{
	char *name = b->names[b->n_names];

	snprintf(name, NAME_SIZE, "bench-%ld-%zu", (long)getpid(), b->n_names + 1);
	b->n_names++;
	return name;
}

static void set_create(struct bench *b, struct job *job)
{
	const char *name = new_name(b);

	*job = (struct job){.name = name,
		.route = ROUTE_VM_CREATE,
		.body = json_copy(b->body),
		.keep_error = true};
	json_object_set_new(job->body, "name", json_string(name));
}

/* What is there of them, also of those whose making failed. true: nothing is left. */
static bool delete_all(struct bench *b)
{
	_free_ struct job *jobs = calloc(b->n_names + 1, sizeof(*jobs));
	size_t n = 0;
	bool left = false;

	for (size_t i = 0; jobs && i < b->n_names; i++)
		if (*b->names[i])
			jobs[n++] = (struct job){.name = b->names[i],
				.route = ROUTE_VM_DELETE,
				.query = "force=1",
				.keep_error = true};
	if (!jobs || n == 0)
		return jobs != NULL;
	(void)jobs_run(&b->quiet, "delete", jobs, n, say_nothing);
	for (size_t i = 0; i < n; i++) {
		char *name = (char *)jobs[i].name;
		bool gone = jobs[i].state == JOB_DONE ||
			    (jobs[i].err && jobs[i].err->code == BG_ERR_VM_NOT_FOUND);

		left |= !gone;
		if (gone)
			*name = '\0';
	}
	jobs_done(jobs, n);
	return !left;
}

/* Another Ctrl-C ends a try, not the cleaning up. */
static void clean_up(struct bench *b)
{
	const struct term *t = &b->cli->err;

	for (unsigned i = 0; i < CLEAN_TRIES; i++) {
		(void)take_interrupt(b);
		if (delete_all(b))
			return;
	}
	for (size_t i = 0; i < b->n_names; i++)
		if (*b->names[i])
			fprintf(t->file, "banger: %s is left: `banger vm delete --force %s`\n",
				b->names[i], b->names[i]);
}

/* The first VM says what all are like, and what its VMM was started with. */
static void look_at(struct bench *b, const json_t *vm)
{
	static const char *const keys[] = {
		"image", "kernel", "vmm", "accel", "storage", "cpus", "memory_mib"};
	_json_ json_t *status = NULL;
	const char *vmm = render_text(vm, "vmm");

	if (client_call(b->cli, CLIENT_NO_START, ROUTE_DAEMON_STATUS, NULL, NULL, &status, NULL) >=
		0)
		json_object_set_new(b->report.facts, "vmm_version",
			json_string(render_text(json_object_get(status, "vmm"), "version")));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(vm, keys[i]))
			json_object_set(b->report.facts, keys[i], json_object_get(vm, keys[i]));
	if (b->with_bare)
		(void)bare_new(vmm, render_int(vm, "pid"), &b->bare, &b->bare_error);
}

static void tell(const struct bench *b, const char *what, size_t i, uint64_t ms)
{
	char text[DURATION_TEXT];

	fprintf(b->cli->err.file, "%s %zu of %u: %s\n", what, i, b->count,
		render_duration(ms, text));
	fflush(b->cli->err.file);
}

/* ---- the three parts: 0, or -errno with *err ---- */

/* Takes a job's error: what Ctrl-C has cancelled is not a failure, and of several the first counts. */
static void take_error(struct bench *b, struct job *job, struct bg_err **err)
{
	if (job->err && job->err->code == BG_ERR_CANCELLED)
		b->interrupted = true;
	else if (job->err && !*err)
		*err = TAKE_PTR(job->err);
}

static int make_one(struct bench *b, size_t i, struct bg_err **err)
{
	struct job job;

	set_create(b, &job);
	(void)jobs_run(&b->quiet, "create", &job, 1, say_nothing);
	take_error(b, &job, err);
	if (job.state == JOB_DONE) {
		series_add_op(&b->report.alone, job.op);
		tell(b, "create", i + 1, (uint64_t)render_int(job.op, "elapsed_ms"));
		if (i == 0)
			look_at(b, json_object_get(job.op, "result"));
	}
	jobs_done(&job, 1);
	return *err ? -EIO : 0;
}

static int run_alone(struct bench *b, struct bg_err **err)
{
	int r = 0;

	for (size_t i = 0; i < b->count && r >= 0; i++) {
		if (take_interrupt(b))
			break;
		r = make_one(b, i, err);
		if (r >= 0)
			clean_up(b);
	}
	return r;
}

static int run_together(struct bench *b, struct bg_err **err)
{
	_free_ struct job *jobs = calloc(b->count, sizeof(*jobs));
	uint64_t began = bg_now_ms();

	if (!jobs)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (size_t i = 0; i < b->count; i++)
		set_create(b, &jobs[i]);
	b->quiet.parallel = b->at_once;
	(void)jobs_run(&b->quiet, "create", jobs, b->count, say_nothing);
	b->report.together.wall_ms = bg_now_ms() - began;
	for (size_t i = 0; i < b->count; i++) {
		if (jobs[i].state == JOB_DONE)
			series_add_op(&b->report.together, jobs[i].op);
		b->interrupted |= jobs[i].state == JOB_IDLE;
		take_error(b, &jobs[i], err);
	}
	jobs_done(jobs, b->count);
	return *err ? -EIO : 0;
}

/* That it does not work is told, and is not a failure: what was asked for is banger's own time. */
static void run_bare(struct bench *b)
{
	for (size_t i = 0; b->bare && i < b->count && !take_interrupt(b); i++) {
		uint64_t ms = 0;
		int r = bare_run(b->bare, &ms, &b->bare_error);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return;
		series_add(&b->report.bare, ms);
		tell(b, "bare", i + 1, ms);
	}
}

/* ---- the command ---- */

static int make_body(const struct args *args, json_t *body, struct bg_err **err)
{
	int r = vm_body_sizes(args, body, err);

	vm_body_text(body, "image", args_value(args, "--image"));
	vm_body_text(body, "kernel", args_value(args, "--kernel"));
	json_object_set_new(body, "labels", json_pack("{s:s}", BENCH_LABEL, "yes"));
	return r;
}

static int set_up(struct bench *b, const struct args *args, struct bg_err **err)
{
	uint64_t count = COUNT_DEFAULT, at_once = AT_ONCE_DEFAULT;
	double load[1] = {0};
	int r = args_number(args, "--count", 1, COUNT_MAX, &count, err);

	if (r >= 0)
		r = args_number(args, "--at-once", 1, COUNT_MAX, &at_once, err);
	b->body = json_object();
	if (r >= 0)
		r = make_body(args, b->body, err);
	if (r < 0)
		return r;
	b->count = (unsigned)count;
	b->at_once = b->report.at_once = (unsigned)BG_MIN(at_once, count);
	b->with_bare = !args_has(args, "--no-bare");
	(void)getloadavg(load, 1);
	b->names = calloc(2 * count, sizeof(*b->names));
	b->report.facts = json_pack("{s:I, s:I, s:I, s:f}", "count", (json_int_t)count, "parallel",
		(json_int_t)b->at_once, "processors", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
		"load", load[0]);
	if (!b->names || !b->report.facts || series_init(&b->report.alone) < 0 ||
		series_init(&b->report.together) < 0 || series_init(&b->report.bare) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

static void bench_done(struct bench *b)
{
	json_decref(b->body);
	json_decref(b->report.facts);
	series_done(&b->report.alone);
	series_done(&b->report.together);
	series_done(&b->report.bare);
	bare_free(b->bare);
	bg_err_free(b->bare_error);
	free(b->names);
}

/* 0 also after Ctrl-C: what was measured until then is shown. */
static int run_all(struct bench *b, struct bg_err **err)
{
	sigset_t old;
	int r;

	hold_interrupts(&old);
	r = run_alone(b, err);
	if (r >= 0 && !take_interrupt(b))
		run_bare(b);
	if (r >= 0 && b->at_once > 1 && !take_interrupt(b))
		r = run_together(b, err);
	clean_up(b);
	(void)take_interrupt(b);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

static void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static int measure(struct bench *b, struct bg_err **err)
{
	_cleanup_(close_file) FILE *null = fopen("/dev/null", "we");
	int r;

	if (!null)
		return bg_err_sys(err, BG_ERR_IO, errno, "open /dev/null");
	b->quiet = (struct cli){.paths = b->cli->paths, .out = b->cli->out};
	term_init(&b->quiet.err, null);
	r = run_all(b, err);
	if (r < 0)
		return r;
	b->report.bare_error = b->bare_error;
	if (b->cli->json) {
		_json_ json_t *record = bench_json(&b->report);

		render_json(&b->cli->out, record);
	} else if (json_array_size(b->report.alone.runs) > 0) {
		bench_print(&b->cli->out, &b->report);
	}
	return b->interrupted ? BG_EXIT_CANCELLED : BG_EXIT_OK;
}

int bench(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_cleanup_(bench_done) struct bench b = {.cli = cli};
	int r = set_up(&b, args, err);

	if (r >= 0)
		r = client_wake(cli, err);
	return r < 0 ? r : measure(&b, err);
}
