/* SPDX-License-Identifier: ISC */
/* daemon/job against a worker that misbehaves (fake_worker.c); MKFS is the job with one descriptor.
 */
#include "daemon/job/job.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/driver/spin.h"

struct outcome {
	struct job *job;
	unsigned completed, progress;
	bool ok, free_in_progress;
	int errnum;
	enum bg_err_code code;
	char message[300], hint[300];
};

static struct loop *loop;
static struct jobs *jobs;
static int worker_log = -1;

static void setup_at(const char *worker)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/worker.log", test_tmpdir());
	worker_log = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(worker_log >= 0);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(jobs_new(loop, worker, worker_log, &jobs, NULL), 0);
}

static void setup(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/driver/fake-worker", test_build_dir());
	setup_at(path);
}

/* No child is left, and loop_free asserts that no source is. */
static void teardown(void)
{
	jobs_free(jobs);
	bg_close(worker_log);
	loop_free(loop);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct outcome *o = userdata;

	o->progress++;
	if (o->free_in_progress) {
		job_free(o->job);
		o->job = NULL;
	}
}

static void on_done(const json_t *result, struct bg_err *err, void *userdata)
{
	struct outcome *o = userdata;

	o->completed++;
	o->ok = result && !err;
	CHECK(!result != !err);
	if (!err)
		return;
	o->errnum = err->errnum;
	o->code = err->code;
	snprintf(o->message, sizeof(o->message), "%s", err->message);
	snprintf(o->hint, sizeof(o->hint), "%s", err->hint ? err->hint : "");
}

static void start(struct outcome *o, const char *how, int fd)
{
	CHECK_INT(job_start(jobs, JOB_MKFS, json_pack("{s:s}", "label", how), &fd, 1, on_progress,
			  on_done, o, &o->job, NULL),
		0);
	CHECK_INT(o->completed, 0);
}

static struct outcome run(const char *how)
{
	struct outcome o = {0};

	start(&o, how, worker_log);
	SPIN(loop, o.completed == 1);
	spin_turn(loop);
	CHECK_INT(o.completed, 1);
	job_free(o.job);
	return o;
}

static void check_blamed(const char *how, const char *text)
{
	struct outcome o;

	setup();
	o = run(how);
	CHECK(!o.ok);
	CHECK_INT(o.code, BG_ERR_WORKER);
	CHECK(strstr(o.message, "\"mkfs\""));
	if (!strstr(o.message, text))
		test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", text, o.message);
	CHECK(strstr(o.hint, "/worker.log"));
	teardown();
}

TEST(result)
{
	setup();
	CHECK(run("fine").ok);
	teardown();
}

TEST(worker_error_is_passed_on)
{
	struct outcome o;

	setup();
	o = run("error");
	CHECK(!o.ok);
	CHECK_INT(o.code, BG_ERR_IMAGE_INVALID);
	CHECK_STR(o.message, "no tar");
	CHECK_STR(o.hint, "give a tar");
	teardown();
}

/* It ends without having read its request, which makes the first read here fail. */
TEST(error_before_the_request_is_read)
{
	struct outcome o;

	setenv("FAKE_WORKER_CANNOT_START", "1", 1);
	setup();
	o = run("fine");
	CHECK_INT(o.code, BG_ERR_WORKER);
	CHECK_STR(o.message, "no sandbox");
	teardown();
}

TEST(crash)
{
	check_blamed("crash", "killed by signal 6");
}

TEST(silent_end)
{
	check_blamed("silent", "without an answer");
}

TEST(garbage)
{
	check_blamed("garbage", "a message that is none");
}

TEST(two_kinds_in_one_message)
{
	check_blamed("two kinds", "a message that is none");
}

TEST(huge_message)
{
	check_blamed("huge", "too long");
}

TEST(two_results)
{
	check_blamed("twice", "answered twice");
}

TEST(status_after_result)
{
	check_blamed("status after", "status 7");
}

TEST(stall_meets_deadline)
{
	struct outcome o;

	setup();
	jobs_set_deadline(jobs, 100 * 1000);
	o = run("stall");
	CHECK_INT(o.code, BG_ERR_TIMEOUT);
	CHECK_INT(o.errnum, ETIMEDOUT);
	teardown();
}

TEST(linger_after_result_still_counts)
{
	setup();
	jobs_set_deadline(jobs, 200 * 1000);
	CHECK(run("linger").ok);
	teardown();
}

TEST(closed_socket_ends_it)
{
	struct outcome o;

	setup();
	jobs_set_deadline(jobs, 200 * 1000);
	o = run("close");
	CHECK_INT(o.code, BG_ERR_WORKER);
	teardown();
}

TEST(progress_flood)
{
	struct outcome o;

	setup();
	o = run("flood");
	CHECK(o.ok);
	CHECK_INT(o.progress, 2000);
	teardown();
}

TEST(descriptors_are_handed_over)
{
	char buf[16] = "";
	struct outcome o = {0};
	int ends[2];

	setup();
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	start(&o, "write", ends[1]);
	close(ends[1]); /* a copy was taken */
	SPIN(loop, o.completed == 1);
	CHECK(o.ok);
	CHECK_INT(read(ends[0], buf, sizeof(buf)), 5);
	CHECK_INT(read(ends[0], buf, sizeof(buf)), 0); /* nobody holds it any more */
	close(ends[0]);
	job_free(o.job);
	teardown();
}

static unsigned count_children(void)
{
	char path[64], text[4096];
	unsigned n = 0;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		test_skip("the kernel has no %s", path);
	len = read(fd, text, sizeof(text));
	close(fd);
	for (ssize_t i = 0; i < len; i++)
		n += text[i] == ' ';
	return n;
}

static char waited_for[64];
static unsigned waits_told;

static void on_wait(const char *what, void *userdata)
{
	CHECK(userdata == waited_for);
	snprintf(waited_for, sizeof(waited_for), "%s", what ? what : "");
	waits_told++;
}

/* A long one: the fake fails it, or waits. */
static void start_fetch(struct outcome *o, const char *how)
{
	CHECK_INT(
		job_start(jobs, JOB_FETCH, json_pack("{s:s}", "label", how),
			(int[]){worker_log, worker_log}, 2, on_progress, on_done, o, &o->job, NULL),
		0);
}

/* Pulls without end are in the way of other pulls only, and those say what they wait for. */
TEST(short_work_does_not_wait_for_long_work)
{
	struct outcome o[JOBS_LONG_MAX + 1] = {0}, quick;

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		start_fetch(&o[i], "stall");
	job_on_wait(o[0].job, on_wait, waited_for); /* it runs: nothing is told */
	CHECK_INT(waits_told, 0);
	job_on_wait(o[JOBS_LONG_MAX].job, on_wait, waited_for);
	CHECK_STR(waited_for, "a worker (4 of 4 busy)");
	quick = run("fine");
	CHECK(quick.ok);
	CHECK_INT(waits_told, 1);
	CHECK_INT(count_children(), JOBS_LONG_MAX);
	job_free(o[0].job);
	SPIN(loop, waits_told == 2);
	CHECK_STR(waited_for, "");
	for (size_t i = 1; i < ARRAY_SIZE(o); i++)
		job_free(o[i].job);
	SPIN(loop, count_children() == 0);
}

TEST(queue_beyond_the_limit)
{
	struct outcome o[JOBS_SHORT_MAX + 3] = {0};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		start(&o[i], i < JOBS_SHORT_MAX ? "stall" : "fine", worker_log);
	spin_for(loop, 20 * 1000);
	CHECK_INT(count_children(), JOBS_SHORT_MAX);
	job_free(o[JOBS_SHORT_MAX + 1].job); /* never runs */
	for (size_t i = 0; i < JOBS_SHORT_MAX; i++)
		job_free(o[i].job);
	SPIN(loop, o[JOBS_SHORT_MAX].completed == 1 && o[JOBS_SHORT_MAX + 2].completed == 1);
	CHECK(o[JOBS_SHORT_MAX].ok && o[JOBS_SHORT_MAX + 2].ok);
	CHECK_INT(o[0].completed + o[JOBS_SHORT_MAX + 1].completed, 0);
	job_free(o[JOBS_SHORT_MAX].job);
	job_free(o[JOBS_SHORT_MAX + 2].job);
	SPIN(loop, count_children() == 0);
	teardown();
}

TEST(free_kills)
{
	struct outcome o = {0};

	setup();
	start(&o, "stall", worker_log);
	job_free(o.job);
	SPIN(loop, count_children() == 0);
	CHECK_INT(o.completed, 0);
	teardown();
}

TEST(free_in_progress)
{
	struct outcome o = {.free_in_progress = true};

	setup();
	start(&o, "flood", worker_log);
	SPIN(loop, o.progress == 1);
	SPIN(loop, count_children() == 0);
	CHECK_INT(o.completed, 0);
	CHECK_INT(o.progress, 1);
	teardown();
}

TEST(runner_may_go_first)
{
	struct outcome o[JOBS_SHORT_MAX + 1] = {0};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		start(&o[i], "stall", worker_log);
	jobs_free(jobs);
	jobs = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		job_free(o[i].job);
	bg_close(worker_log);
	loop_free(loop);
	while (waitpid(-1, NULL, 0) > 0)
		; /* killed: they end by themselves */
}

TEST(missing_worker)
{
	struct outcome o = {0};

	setup_at("/nonexistent/banger-worker");
	start(&o, "fine", worker_log);
	SPIN(loop, o.completed == 1);
	CHECK_INT(o.code, BG_ERR_TOOL_MISSING);
	job_free(o.job);
	teardown();
}

TEST(request_too_long)
{
	struct outcome o = {0};
	char *text = malloc(80000);

	memset(text, 'a', 79999);
	text[79999] = '\0';
	setup();
	start(&o, text, worker_log);
	SPIN(loop, o.completed == 1);
	CHECK_INT(o.errnum, EMSGSIZE);
	job_free(o.job);
	free(text);
	teardown();
}
