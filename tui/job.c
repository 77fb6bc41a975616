/* SPDX-License-Identifier: ISC */
/* job.c: fork with a pipe; the child's end comes through the event loop. */
#include "tui/job.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#include "common/fd.h"

enum { CANNOT_EXEC = 127, PIECE = 8192 };

struct job {
	struct jobs *jobs;
	enum job_kind kind;
	pid_t pid; /* 0: none */
	int status, fd;
	bool ended; /* it was reaped; its output may not be at its end */
	struct event *output;
};

struct jobs {
	struct event_base *base;
	int tty;
	const struct job_user *user;
	void *userdata;
	struct event *child;
	struct job job[JOB_MAX_];
};

/* From the background, where that would stop us. */
static void give_terminal(int tty, pid_t group)
{
	sigset_t block, old;

	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &old);
	(void)tcsetpgrp(tty, group);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void finish(struct job *job)
{
	struct jobs *jobs = job->jobs;

	if (!job->ended || job->output)
		return;
	job->pid = 0;
	if (job->kind == JOB_TERMINAL)
		give_terminal(jobs->tty, getpgrp());
	jobs->user->on_end(jobs->userdata, job->kind, job->status);
}

static void close_output(struct job *job)
{
	event_free(TAKE_PTR(job->output));
	job->fd = bg_close(job->fd);
}

static void on_output(evutil_socket_t fd, short what, void *userdata)
{
	struct job *job = userdata;
	char piece[PIECE];
	ssize_t n = read(fd, piece, sizeof(piece));

	(void)what;
	if (n > 0) {
		job->jobs->user->on_output(job->jobs->userdata, job->kind, piece, (size_t)n);
	} else if (n == 0 || errno != EINTR) {
		close_output(job);
		finish(job);
	}
}

static void on_child(evutil_socket_t signo, short what, void *userdata)
{
	struct jobs *jobs = userdata;

	(void)signo;
	(void)what;
	for (int kind = 0; kind < JOB_MAX_; kind++) {
		struct job *job = &jobs->job[kind];
		int status = 0;

		if (!job->pid || job->ended ||
			waitpid(job->pid, &status, WNOHANG | WUNTRACED) != job->pid)
			continue;
		if (WIFSTOPPED(status)) {
			give_terminal(jobs->tty, getpgrp());
			jobs->user->on_stop(jobs->userdata);
			continue;
		}
		job->ended = true;
		job->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		finish(job);
	}
}

int jobs_new(struct event_base *base, int tty, const struct job_user *user, void *userdata,
	struct jobs **ret)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return -ENOMEM;
	*jobs = (struct jobs){.base = base, .tty = tty, .user = user, .userdata = userdata};
	for (int kind = 0; kind < JOB_MAX_; kind++)
		jobs->job[kind] = (struct job){.jobs = jobs, .kind = (enum job_kind)kind, .fd = -1};
	jobs->child = evsignal_new(base, SIGCHLD, on_child, jobs);
	if (!jobs->child || event_add(jobs->child, NULL) < 0) {
		free(jobs);
		return -ENOMEM;
	}
	*ret = jobs;
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	for (int kind = 0; kind < JOB_MAX_; kind++) {
		struct job *job = &jobs->job[kind];

		if (job->pid && kind != JOB_DAEMON)
			jobs_end(jobs, (enum job_kind)kind);
		if (job->output)
			close_output(job);
	}
	event_free(jobs->child);
	free(jobs);
}

static void default_signals(void)
{
	static const int signals[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE,
		SIGHUP, SIGTERM, SIGCONT};
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_noreturn_ static void exec_job(const struct job *job, const char *const *argv, int in, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool terminal = job->kind == JOB_TERMINAL;
	int fds[3] = {in >= 0	 ? in
		      : terminal ? job->jobs->tty
				 : null,
		terminal ? job->jobs->tty : out,
		terminal		  ? job->jobs->tty
		: job->kind == JOB_DOCTOR ? null
					  : out};

	(void)setpgid(0, 0);
	if (terminal)
		give_terminal(job->jobs->tty, getpid());
	default_signals();
	for (int i = 0; i < 3; i++)
		if (dup2(fcntl(fds[i], F_DUPFD_CLOEXEC, 10), i) < 0)
			_exit(CANNOT_EXEC);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(CANNOT_EXEC);
}

int jobs_start(struct jobs *jobs, enum job_kind kind, const char *const *argv, int in)
{
	struct job *job = &jobs->job[kind];
	_close_ int input = in;
	int fds[2] = {-1, -1};

	if (job->pid)
		return -EBUSY;
	if (kind != JOB_TERMINAL && pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	job->pid = fork();
	if (job->pid == 0)
		exec_job(job, argv, input, fds[1]);
	bg_close(fds[1]);
	if (job->pid < 0) {
		job->pid = 0;
		bg_close(fds[0]);
		return -EAGAIN;
	}
	(void)setpgid(job->pid, job->pid);
	if (kind == JOB_TERMINAL)
		give_terminal(jobs->tty, job->pid);
	job->ended = false;
	job->fd = fds[0];
	if (kind == JOB_TERMINAL)
		return 0;
	job->output = event_new(jobs->base, job->fd, EV_READ | EV_PERSIST, on_output, job);
	return job->output && event_add(job->output, NULL) == 0 ? 0 : -ENOMEM;
}

bool jobs_running(const struct jobs *jobs, enum job_kind kind)
{
	return jobs->job[kind].pid > 0;
}

void jobs_continue(struct jobs *jobs)
{
	pid_t pid = jobs->job[JOB_TERMINAL].pid;

	if (pid <= 0)
		return;
	give_terminal(jobs->tty, pid);
	(void)kill(-pid, SIGCONT);
}

void jobs_end(struct jobs *jobs, enum job_kind kind)
{
	pid_t pid = jobs->job[kind].pid;

	if (pid <= 0)
		return;
	(void)kill(-pid, SIGTERM);
	(void)kill(-pid, SIGCONT);
}
