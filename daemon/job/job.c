/* SPDX-License-Identifier: ISC */
/*
 * See job.h. A worker's life: queued, running, over. A job is over when its process has ended and
 * its socket was read to the end, so that nothing of it works on the caller's descriptors any more
 * when done comes. A job whose owner let go of it is killed and stays in the list until reaped.
 */
#include "daemon/job/job.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "daemon/job/job_result.h"
#include "daemon/loop/spawn.h"

enum {
	/* A worker that has answered or closed its socket has nothing left to do. */
	GRACE_USEC = 5 * 1000 * 1000,
	MESSAGES_PER_TURN = 32,
	ORPHAN_MS = 200,
};

static const struct {
	const char *name;
	unsigned n_fds, more_fds;
	uint64_t deadline_s;
} kinds[] = {
#define X(sym, name_, n_fds_, more_, deadline_) [JOB_##sym] = {name_, n_fds_, more_, deadline_},
#include "common/job_table.def"
#undef X
};
static_assert(ARRAY_SIZE(kinds) == JOB_MAX_, "one row per job");

enum job_class { CLASS_SHORT, CLASS_LONG, CLASS_TRASH, CLASS_LOOK, CLASS_MAX_ };

static const unsigned slots[CLASS_MAX_] = {
	[CLASS_SHORT] = JOBS_SHORT_MAX,
	[CLASS_LONG] = JOBS_LONG_MAX,
	[CLASS_TRASH] = JOBS_TRASH_MAX,
	[CLASS_LOOK] = JOBS_LOOK_MAX,
};

/* CLASS_SHORT is what is not named. */
static const enum job_class classes[JOB_MAX_] = {
	[JOB_UNPACK] = CLASS_LONG,
	[JOB_FETCH] = CLASS_LONG,
	[JOB_FLATTEN] = CLASS_LONG,
	[JOB_RESOLVE] = CLASS_LONG,
	[JOB_BLOBS] = CLASS_LONG,
	[JOB_PACK_BUNDLE] = CLASS_LONG,
	[JOB_UNPACK_BUNDLE] = CLASS_LONG,
	[JOB_EMPTY] = CLASS_TRASH,
	[JOB_LIST] = CLASS_LOOK,
};

TAILQ_HEAD(job_list, job);

struct jobs {
	struct loop *loop;
	char *worker_path;
	int worker_log;
	const char *log_name;
	struct job_list queued, running, failed; /* failed: to start; told in the next turn */
	unsigned n_running[CLASS_MAX_];
	uint64_t deadline_usec; /* 0: the table's */
	struct job_waste waste;
	uint8_t *buf; /* one datagram and a byte more, to see that it was longer */
};

struct job {
	struct jobs *jobs; /* NULL once done, or when the runner is gone */
	struct job_list *list;
	TAILQ_ENTRY(job) link;
	enum job_kind kind;
	json_t *params;
	int fds[BG_JOB_ALL_FDS_MAX];
	unsigned n_fds;
	int sock, pidfd;
	pid_t pid;
	struct loop_source *io, *exit, *timer;
	bool abandoned; /* the owner is gone: no callbacks, freed when reaped */
	bool overdue;	/* has answered, did not end, was killed for that: the answer counts */
	json_t *result;
	struct bg_err *err; /* the worker's own, or what is wrong with it */
	job_progress_fn progress;
	job_done_fn done;
	void *userdata;
	char *left; /* of an abandoned one: its file, to be thrown; NULL: none */
	struct stat left_stat;
	job_wait_fn wait; /* as long as it is queued */
	void *wait_data;
};

static void pump(struct jobs *jobs);

void jobs_set_waste(struct jobs *jobs, const struct job_waste *waste)
{
	jobs->waste = *waste;
}

void jobs_throw(struct jobs *jobs, const char *path)
{
	if (jobs->waste.throw)
		jobs->waste.throw(path, jobs->waste.userdata);
	else
		(void)bg_unlink_small(AT_FDCWD, path);
}

void jobs_close(struct jobs *jobs, int fd)
{
	if (fd >= 0 && jobs->waste.close)
		jobs->waste.close(fd, jobs->waste.userdata);
	else
		bg_close(fd);
}

/* The message has them. */
static void close_sent(struct job *job)
{
	while (job->n_fds > 0)
		bg_close(job->fds[--job->n_fds]);
}

/* A job that never ran may have the last descriptor of a file that was deleted meanwhile. */
static void close_fds(struct job *job)
{
	for (unsigned i = 0; i < job->n_fds; i++)
		if (job->jobs)
			jobs_close(job->jobs, job->fds[i]);
		else
			bg_close(job->fds[i]);
	job->n_fds = 0;
}

static void leave_list(struct job *job)
{
	if (job->list)
		TAILQ_REMOVE(job->list, job, link);
	if (job->list && job->list == &job->jobs->running)
		job->jobs->n_running[classes[job->kind]]--;
	job->list = NULL;
}

static void enter_list(struct job *job, struct job_list *list)
{
	TAILQ_INSERT_TAIL(list, job, link);
	job->list = list;
	if (list == &job->jobs->running)
		job->jobs->n_running[classes[job->kind]]++;
}

/* Everything that can call back goes; the answer stays. */
static void quiet(struct job *job)
{
	loop_source_free(job->io);
	loop_source_free(job->exit);
	loop_source_free(job->timer);
	job->io = job->exit = job->timer = NULL;
	job->sock = bg_close(job->sock);
	job->pidfd = bg_close(job->pidfd);
	close_fds(job);
	leave_list(job);
}

static void destroy(struct job *job)
{
	quiet(job);
	json_decref(job->params);
	json_decref(job->result);
	bg_err_free(job->err);
	free(job->left);
	free(job);
}

static void throw_left(const struct job *job)
{
	struct stat st;

	if (job->left && lstat(job->left, &st) >= 0 && st.st_ino == job->left_stat.st_ino &&
		st.st_dev == job->left_stat.st_dev)
		jobs_throw(job->jobs, job->left);
}

static void kill_worker(const struct job *job)
{
	if (job->pidfd >= 0)
		(void)pidfd_send_signal(job->pidfd, SIGKILL, NULL, 0);
}

/* The path of the log, for messages. */
static void log_name(const struct jobs *jobs, char *ret, size_t size)
{
	char link[64];
	ssize_t n;

	if (jobs->log_name) {
		snprintf(ret, size, "%s", jobs->log_name);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", jobs->worker_log);
	n = readlink(link, ret, size - 1);
	snprintf(ret + (n > 0 ? n : 0), n > 0 ? 1 : size, "%s", n > 0 ? "" : "the worker log");
}

/* The first thing that went wrong is what is told. */
static void blame(struct job *job, enum bg_err_code code, int errnum, const char *what)
{
	char path[512];

	if (job->err)
		return;
	json_decref(job->result);
	job->result = NULL;
	log_name(job->jobs, path, sizeof(path));
	bg_err_set(&job->err, code, errnum, "banger-worker, job \"%s\": %s", kinds[job->kind].name,
		what);
	bg_err_hint(&job->err, "its log is %s", path);
}

/* Tells the owner, who may free the job and the runner from inside. */
static void deliver(struct job *job)
{
	struct jobs *jobs = job->jobs;

	quiet(job);
	throw_left(job);
	job->jobs = NULL;
	pump(jobs);
	if (job->abandoned)
		destroy(job);
	else
		job->done(job->result, job->err, job->userdata);
}

static void blame_status(struct job *job, int status)
{
	char what[80];

	if (WIFSIGNALED(status))
		snprintf(what, sizeof(what), "killed by signal %d", WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		snprintf(what, sizeof(what), "ended with status %d", WEXITSTATUS(status));
	else if (!job->result)
		snprintf(what, sizeof(what), "ended without an answer");
	else
		return;
	blame(job, BG_ERR_WORKER, EIO, what);
}

static uint64_t deadline_of(const struct job *job)
{
	return job->jobs->deadline_usec ? job->jobs->deadline_usec
					: kinds[job->kind].deadline_s * 1000 * 1000;
}

static int restart_timer(struct job *job, uint64_t usec);

/* Nothing good comes any more: makes sure that the end comes soon. */
static void end_soon(struct job *job, bool now)
{
	if (now)
		kill_worker(job);
	else if (restart_timer(job, BG_MIN(deadline_of(job), (uint64_t)GRACE_USEC)) < 0)
		kill_worker(job);
}

static void on_violation(struct job *job, const char *what)
{
	blame(job, BG_ERR_WORKER, EPROTO, what);
	end_soon(job, true);
}

static void bad_result(struct job *job, const char *field)
{
	char what[96];

	snprintf(what, sizeof(what), "its answer is malformed: \"%s\"", field);
	on_violation(job, what);
}

static void take_answer(struct job *job, const json_t *result, const json_t *error)
{
	const char *field;

	if (job->result || job->err) {
		on_violation(job, "answered twice");
		return;
	}
	if (error)
		(void)bg_err_from_json(error, &job->err);
	else if (job_result_check(job->kind, result, &field) < 0)
		bad_result(job, field);
	else
		job->result = json_incref((json_t *)(uintptr_t)result);
	end_soon(job, false);
}

/* False when the owner freed the job in its progress callback. */
static bool take_message(struct job *job, size_t len)
{
	_json_ json_t *msg =
		json_loadb((const char *)job->jobs->buf, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *progress = NULL, *result = NULL, *error = NULL;

	(void)bg_json_get_obj(msg, "progress", &progress);
	(void)bg_json_get_obj(msg, "result", &result);
	(void)bg_json_get_obj(msg, "error", &error);
	if (!!progress + !!result + !!error != 1) {
		on_violation(job, "sent a message that is none");
		return true;
	}
	if (!progress) {
		take_answer(job, result, error);
		return true;
	}
	if (job->progress && !job->abandoned && !job->result && !job->err)
		job->progress(progress, job->userdata);
	return !job->abandoned;
}

/* 1 after a message, 0 at the end of them, -EAGAIN for none now. */
static int read_message(struct job *job)
{
	ssize_t n = recv(job->sock, job->jobs->buf, BG_JOB_MSG_MAX + 1, MSG_DONTWAIT);

	/* A worker that ended without reading its request: what it said comes after this one
	 * failure. */
	if (n < 0 && errno == ECONNRESET)
		n = recv(job->sock, job->jobs->buf, BG_JOB_MSG_MAX + 1, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
	if (n == 0)
		return 0;
	if (n > BG_JOB_MSG_MAX)
		on_violation(job, "sent a message that is too long");
	else if (!take_message(job, (size_t)n))
		return -ECANCELED;
	return 1;
}

static void stop_reading(struct job *job)
{
	loop_source_free(job->io);
	job->io = NULL;
	if (!job->result && !job->err)
		end_soon(job, false);
}

static void on_readable(int fd, unsigned events, void *userdata)
{
	struct job *job = userdata;
	int r = 1;

	for (unsigned i = 0; i < MESSAGES_PER_TURN && r == 1; i++)
		r = read_message(job);
	if (r == 0)
		stop_reading(job);
}

/* What it said before it ended is still in the socket, and bounded by the socket's buffer. */
static void on_exit_event(pid_t pid, int status, void *userdata)
{
	struct job *job = userdata;
	int r = 1;

	while (r == 1 && job->io)
		r = read_message(job);
	/* The worker's own error explains its exit status. */
	if (!job->err && !job->overdue)
		blame_status(job, status);
	deliver(job);
}

static void on_timer(void *userdata)
{
	struct job *job = userdata;
	char what[64];

	snprintf(what, sizeof(what), "not done after %llu seconds",
		(unsigned long long)deadline_of(job) / 1000000);
	if (job->result)
		job->overdue = true;
	else if (job->io)
		blame(job, BG_ERR_TIMEOUT, ETIMEDOUT, what);
	else
		blame(job, BG_ERR_WORKER, EPROTO, "closed its socket without an answer");
	kill_worker(job);
}

static int restart_timer(struct job *job, uint64_t usec)
{
	loop_source_free(job->timer);
	job->timer = NULL;
	return loop_add_timer(job->jobs->loop, "job deadline", usec, on_timer, job, &job->timer);
}

static int send_request(const struct job *job, int sock)
{
	_json_ json_t *request = json_deep_copy(job->params);
	_free_ char *text = NULL;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * BG_JOB_ALL_FDS_MAX)];
	} control = {0};
	struct iovec iov;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!request || json_object_set_new(request, "job", json_string(kinds[job->kind].name)) < 0)
		return -ENOMEM;
	text = json_dumps(request, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	iov = (struct iovec){text, strlen(text)};
	if (iov.iov_len > BG_JOB_MSG_MAX)
		return -EMSGSIZE;
	if (job->n_fds > 0) {
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * job->n_fds);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * job->n_fds);
		memcpy(CMSG_DATA(&control.align), job->fds, sizeof(int) * job->n_fds);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int spawn_worker(struct job *job, int sock, struct bg_err **err)
{
	const char *const argv[] = {job->jobs->worker_path, kinds[job->kind].name, NULL};
	const struct spawn spawn = {
		.path = job->jobs->worker_path,
		.argv = argv,
		.fd = {-1, job->jobs->worker_log, job->jobs->worker_log, sock},
		.n_fds = BG_JOB_FD + 1,
		.new_session = true,
	};

	static_assert(BG_JOB_FD == 3, "the socket's place in spawn.fd");
	return spawn_process(&spawn, &job->pid, &job->pidfd, err);
}

static int watch_worker(struct job *job)
{
	struct loop *loop = job->jobs->loop;
	int r = loop_add_exit(
		loop, "job exit", job->pid, job->pidfd, on_exit_event, job, &job->exit);

	if (r >= 0)
		r = loop_add_fd(loop, "job", job->sock, LOOP_READ, on_readable, job, &job->io);
	if (r >= 0)
		r = restart_timer(job, deadline_of(job));
	return r;
}

static int run(struct job *job, struct bg_err **err)
{
	_close_ int ours = -1, theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "start a worker");
	ours = pair[0];
	theirs = pair[1];
	r = send_request(job, ours);
	close_sent(job);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_WORKER, -r, "ask a worker to do job \"%s\"",
			kinds[job->kind].name);
	r = spawn_worker(job, theirs, err);
	if (r < 0)
		return r;
	job->sock = TAKE_FD(ours);
	enter_list(job, &job->jobs->running);
	r = watch_worker(job);
	if (r >= 0)
		return 0;
	kill_worker(job);
	(void)waitpid(job->pid, NULL, WNOHANG);
	return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch a worker");
}

static void on_start_failed(void *userdata)
{
	deliver(userdata);
}

/* The first that waits for a slot of a class that has one. */
static struct job *next_job(const struct jobs *jobs)
{
	struct job *job;

	TAILQ_FOREACH (job, &jobs->queued, link)
		if (jobs->n_running[classes[job->kind]] < slots[classes[job->kind]])
			return job;
	return NULL;
}

static void waits_no_more(struct job *job)
{
	if (job->wait)
		job->wait(NULL, job->wait_data);
	job->wait = NULL;
}

/* Starts what waits, as far as there is room. A failure to start is told in the next turn of the
 * loop. */
static void pump(struct jobs *jobs)
{
	struct job *job;

	while ((job = next_job(jobs))) {
		leave_list(job);
		waits_no_more(job);
		if (run(job, &job->err) >= 0)
			continue;
		leave_list(job);
		enter_list(job, &jobs->failed);
		loop_source_free(job->timer);
		job->timer = NULL;
		if (loop_defer(jobs->loop, "job failed", on_start_failed, job, &job->timer) < 0)
			log_err(LOG_ERROR, "job", "a job could not start, nor its owner be told",
				job->err);
	}
}

int jobs_new(struct loop *loop, const char *worker_path, int worker_log, struct jobs **ret,
	struct bg_err **err)
{
	_unref_(jobs) struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	TAILQ_INIT(&jobs->queued);
	TAILQ_INIT(&jobs->running);
	TAILQ_INIT(&jobs->failed);
	jobs->loop = loop;
	jobs->worker_log = worker_log;
	jobs->worker_path = strdup(worker_path);
	jobs->buf = malloc(BG_JOB_MSG_MAX + 1);
	if (!jobs->worker_path || !jobs->buf)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*ret = TAKE_PTR(jobs);
	return 0;
}

void jobs_name_log(struct jobs *jobs, const char *path)
{
	jobs->log_name = path;
}

/*
 * The process is killed. It ends soon, but for one that hangs in its file system: its remains are
 * init's, as bangerd itself ends now.
 */
static void orphan(struct job *job)
{
	kill_worker(job);
	if (job->pidfd >= 0) {
		struct pollfd p = {.fd = job->pidfd, .events = POLLIN};

		(void)poll(&p, 1, ORPHAN_MS);
		(void)waitpid(job->pid, NULL, WNOHANG);
	}
	quiet(job);
	throw_left(job);
	job->jobs = NULL;
	if (job->abandoned)
		destroy(job);
}

void jobs_free(struct jobs *jobs)
{
	struct job *job;

	if (!jobs)
		return;
	while ((job = TAILQ_FIRST(&jobs->queued)))
		orphan(job);
	while ((job = TAILQ_FIRST(&jobs->running)))
		orphan(job);
	while ((job = TAILQ_FIRST(&jobs->failed)))
		orphan(job);
	free(jobs->worker_path);
	free(jobs->buf);
	free(jobs);
}

void jobs_set_deadline(struct jobs *jobs, uint64_t usec)
{
	jobs->deadline_usec = usec;
}

static int copy_fds(struct job *job, const int *fds, unsigned n_fds)
{
	for (unsigned i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		job->fds[job->n_fds++] = fd;
	}
	return 0;
}

int job_start(struct jobs *jobs, enum job_kind kind, json_t *params, const int *fds, unsigned n_fds,
	job_progress_fn progress, job_done_fn done, void *userdata, struct job **ret,
	struct bg_err **err)
{
	struct job *job = calloc(1, sizeof(*job));
	int r;

	assert((unsigned)kind < ARRAY_SIZE(kinds) && n_fds >= kinds[kind].n_fds &&
		n_fds <= kinds[kind].n_fds + kinds[kind].more_fds && n_fds <= BG_JOB_ALL_FDS_MAX);
	if (!job || !params) {
		free(job);
		json_decref(params);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*job = (struct job){.jobs = jobs,
		.kind = kind,
		.params = params,
		.sock = -1,
		.pidfd = -1,
		.progress = progress,
		.done = done,
		.userdata = userdata};
	r = copy_fds(job, fds, n_fds);
	if (r < 0) {
		destroy(job);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "start job \"%s\"", kinds[kind].name);
	}
	enter_list(job, &jobs->queued);
	pump(jobs);
	*ret = job;
	return 0;
}

void job_on_wait(struct job *job, job_wait_fn fn, void *userdata)
{
	char what[48];

	if (!job->jobs || job->list != &job->jobs->queued)
		return;
	job->wait = fn;
	job->wait_data = userdata;
	snprintf(what, sizeof(what), "a worker (%u of %u busy)",
		job->jobs->n_running[classes[job->kind]], slots[classes[job->kind]]);
	fn(what, userdata);
}

void job_free(struct job *job)
{
	if (!job)
		return;
	if (!job->jobs || job->pidfd < 0) {
		destroy(job);
		return;
	}
	/* Still running: dies now, and is reaped in the loop. */
	job->abandoned = true;
	close_fds(job);
	kill_worker(job);
}

void job_free_and_throw(struct job *job, struct jobs *jobs, const char *path)
{
	if (job && job->jobs && job->pidfd >= 0 && lstat(path, &job->left_stat) >= 0)
		job->left = strdup(path);
	if (!job || !job->left)
		jobs_throw(jobs, path);
	job_free(job);
}
