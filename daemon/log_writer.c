/* SPDX-License-Identifier: ISC */
/*
 * See log_writer.h. The first half is the monitor's, the second the process: a copy of the monitor that holds nothing
 * but the two pipes and the two files, and may do nothing but that (Landlock: the state folder; seccomp: the table below).
 */
#include "daemon/log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/landlock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/seal.h"
#include "daemon/boot.h"

enum {
	/* some seconds of a disk that does not answer, at any rate that is not a fault */
	PIPE_BYTES = 1024 * 1024,
	CHUNK = 64 * 1024,
	END_MS = 2000,
	ABOVE = 64, /* descriptors are out of each other's way from here on */
};
#define AGAIN_USEC 1000000ULL

/* A file, and the pipe that it is filled from. */
struct sink {
	const char *path;
	int in, fd;
	unsigned lost; /* lines that the file did not take */
	bool torn;     /* a part of one of them may be there */
	bool within;   /* what was written last is not the end of a line */
};

struct log_writer {
	struct loop *loop;
	const char *dir;
	char *path[LOG_PIPE_MAX_];
	int read[LOG_PIPE_MAX_], write[LOG_PIPE_MAX_];
	pid_t pid;
	int pidfd;
	struct loop_source *exit, *again;
};

/* ---- the process ---- */

static const struct seal_rule rules[] = {
	SEAL_CALL(read, "the pipes"),
	SEAL_CALL(write, "the files"),
	SEAL_CALL(poll, "the pipes"),
	SEAL_CALL(ppoll, "as poll"),
	SEAL_CALL(open, "a new file; where: Landlock"),
	SEAL_CALL(openat, "as open"),
	SEAL_CALL(close, "the old file"),
	SEAL_CALL(lseek, "is it empty?"),
	SEAL_CALL(dup3, "in the old one's place"),
	SEAL_CALL(fcntl, "flags of descriptors"),
	SEAL_CALL(stat, "is it still the file?"),
	SEAL_CALL(fstat, "how long is it?"),
	SEAL_CALL(newfstatat, "as stat"),
	SEAL_CALL(statx, "as stat"),
	SEAL_CALL(rename, "the old file"),
	SEAL_CALL(renameat, "as rename"),
	SEAL_CALL(renameat2, "as rename"),
	SEAL_CALL(brk, "memory"),
	{SCMP_SYS(mmap), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	{SCMP_SYS(mprotect), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	SEAL_CALL(munmap, "memory"),
	SEAL_CALL(mremap, "memory"),
	SEAL_CALL(madvise, "memory"),
	SEAL_CALL(futex, "libc"),
	SEAL_CALL(clock_gettime, "times"),
	SEAL_CALL(getpid, "abort(3)"),
	SEAL_CALL(gettid, "abort(3)"),
	SEAL_CALL(tgkill, "abort(3)"),
	SEAL_CALL(rt_sigaction, "abort(3)"),
	SEAL_CALL(rt_sigprocmask, "abort(3)"),
	SEAL_CALL(rt_sigreturn, "signals"),
	SEAL_CALL(restart_syscall, "after a stop"),
	SEAL_CALL(exit, "its end"),
	SEAL_CALL(exit_group, "its end"),
};

/* Best effort, as the store's: it parses nothing, and an old kernel has less of it. */
static void seal_process(const char *dir)
{
	_cleanup_(bg_landlock_done) struct bg_landlock ll = {.fd = -1};
	scmp_filter_ctx ctx;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (bg_landlock_new(0, false, &ll) >= 0) {
		(void)bg_landlock_allow(
			&ll, dir, BG_LL_WRITE_FILE | BG_LL_MAKE_REG | BG_LL_REMOVE_FILE, 0);
		(void)bg_landlock_enter(&ll);
	}
	if (BG_SANITIZED)
		return;
	ctx = seal_new(SCMP_ACT_ERRNO(EPERM), rules, ARRAY_SIZE(rules));
	if (ctx)
		(void)seccomp_load(ctx);
	seccomp_release(ctx);
}

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
}

/* is_log: its own words go there, too. */
static void open_sink(struct sink *s, bool is_log)
{
	s->fd = open_file(s->path);
	if (s->fd < 0)
		return;
	(void)log_bound_fd(s->fd, s->path, BG_LOG_MAX);
	if (is_log)
		log_open(s->fd, LOG_WARN);
}

static unsigned lines_in(const char *buf, size_t n)
{
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	return lines;
}

/* Of the daemon's own log: its other lines are other processes' words. */
static void say_lost(struct sink *s, bool is_log)
{
	char n[16];

	snprintf(n, sizeof(n), "%u", s->lost);
	if (s->lost && is_log)
		log_msg(LOG_WARN, "log", "lines are lost: the file did not take them", "lines", n,
			NULL);
	s->lost = 0;
}

/* So that what follows is a line again. */
static bool end_torn(const struct sink *s)
{
	return !s->torn || lseek(s->fd, 0, SEEK_END) == 0 || bg_write_all(s->fd, "\n", 1) >= 0;
}

static void put(struct sink *s, const char *buf, size_t n, bool is_log)
{
	if (s->fd < 0)
		open_sink(s, is_log);
	else if (!s->within || s->torn) /* a line is not spread over two files */
		(void)log_bound_fd(s->fd, s->path, BG_LOG_MAX);
	if (s->fd < 0 || !end_torn(s) || bg_write_all(s->fd, buf, n) < 0) {
		s->lost += lines_in(buf, n);
		s->torn = s->fd >= 0;
		s->within = true;
		return;
	}
	s->torn = false;
	s->within = buf[n - 1] != '\n';
	if (!s->within)
		say_lost(s, is_log);
}

static void take(struct sink *s, bool is_log)
{
	static char buf[CHUNK];
	ssize_t n = read(s->in, buf, sizeof(buf));

	if (n > 0)
		put(s, buf, (size_t)n, is_log);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		s->in = -1; /* nobody writes any more */
}

static _noreturn_ void serve(struct sink *sinks)
{
	while (sinks[LOG_PIPE_DAEMON].in >= 0 || sinks[LOG_PIPE_WORKERS].in >= 0) {
		struct pollfd p[LOG_PIPE_MAX_];

		for (unsigned i = 0; i < LOG_PIPE_MAX_; i++)
			p[i] = (struct pollfd){.fd = sinks[i].in, .events = POLLIN};
		if (poll(p, LOG_PIPE_MAX_, -1) <= 0)
			continue;
		for (unsigned i = 0; i < LOG_PIPE_MAX_; i++)
			if (p[i].revents)
				take(&sinks[i], i == LOG_PIPE_DAEMON);
	}
	_exit(EXIT_SUCCESS);
}

/* What ends the others ends us by the ends of the pipes, after their last words. */
static void ignore_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGQUIT};
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)signal(signals[i], SIG_IGN);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only these stay open. A lock or a client's connection that stayed with us would outlive the daemon. */
static void keep_pipes(const int *in, struct sink *sinks)
{
	int above[LOG_PIPE_MAX_];

	for (int i = 0; i < LOG_PIPE_MAX_; i++)
		above[i] = fcntl(in[i], F_DUPFD, ABOVE);
	for (int i = 0; i < LOG_PIPE_MAX_; i++)
		sinks[i].in = dup2(above[i], STDERR_FILENO + 1 + i);
	(void)close_range(STDERR_FILENO + 1 + LOG_PIPE_MAX_, ~0U, 0);
}

static _noreturn_ void run(const struct log_writer *writer)
{
	struct sink sinks[LOG_PIPE_MAX_] = {0};

	ignore_signals();
	boot_retitle("bangerd: log", "bangerd-log");
	log_open(STDERR_FILENO, LOG_WARN);
	keep_pipes(writer->read, sinks);
	for (unsigned i = 0; i < LOG_PIPE_MAX_; i++) {
		sinks[i].path = writer->path[i];
		open_sink(&sinks[i], i == LOG_PIPE_DAEMON);
	}
	seal_process(writer->dir);
	serve(sinks);
}

/* ---- the monitor ---- */

static int start(struct log_writer *writer);

static void on_again(void *userdata)
{
	struct log_writer *writer = userdata;

	loop_source_free(TAKE_PTR(writer->again));
	(void)start(writer);
}

static void start_later(struct log_writer *writer)
{
	(void)loop_add_timer(
		writer->loop, "log writer", AGAIN_USEC, on_again, writer, &writer->again);
}

static void forget(struct log_writer *writer)
{
	loop_source_free(TAKE_PTR(writer->exit));
	writer->pidfd = bg_close(writer->pidfd);
	writer->pid = 0;
}

static void on_exit_of(pid_t pid, int status, void *userdata)
{
	struct log_writer *writer = userdata;

	(void)pid;
	(void)status;
	forget(writer);
	log_msg(LOG_ERROR, "monitor", "the process that writes this log died and is started again",
		NULL);
	start_later(writer);
}

static int start(struct log_writer *writer)
{
	pid_t pid = fork();
	int r = pid < 0 ? -errno : 0;

	if (pid == 0)
		run(writer);
	if (r >= 0) {
		writer->pid = pid;
		writer->pidfd = pidfd_open(pid, 0);
		r = writer->pidfd < 0 ? -errno
				      : loop_add_exit(writer->loop, "log writer", pid,
						writer->pidfd, on_exit_of, writer, &writer->exit);
	}
	if (r < 0)
		start_later(writer);
	return r;
}

static int make_pipe(struct log_writer *writer, enum log_pipe which)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	writer->read[which] = pair[0];
	writer->write[which] = pair[1];
	if (which != LOG_PIPE_DAEMON)
		return 0; /* a worker may wait */
	(void)fcntl(pair[1], F_SETPIPE_SZ, PIPE_BYTES);
	return bg_set_nonblock(pair[1], true);
}

static int send_ours(const struct log_writer *writer)
{
	_close_ int fd = fcntl(writer->write[LOG_PIPE_DAEMON], F_DUPFD_CLOEXEC, 0);
	int r = fd < 0 ? -errno : log_open_pipe(fd, writer->path[LOG_PIPE_DAEMON]);

	if (r >= 0)
		(void)TAKE_FD(fd);
	return r;
}

int log_writer_new(struct loop *loop, const struct bg_paths *paths, struct log_writer **ret)
{
	struct log_writer *writer = calloc(1, sizeof(*writer));
	int r = writer ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	writer->loop = loop;
	writer->dir = paths->state_dir;
	writer->pidfd = -1;
	for (unsigned i = 0; i < LOG_PIPE_MAX_; i++)
		writer->read[i] = writer->write[i] = -1;
	writer->path[LOG_PIPE_DAEMON] = strdup(paths->log_file);
	writer->path[LOG_PIPE_WORKERS] = strdup(paths->worker_log);
	if (!writer->path[LOG_PIPE_DAEMON] || !writer->path[LOG_PIPE_WORKERS])
		r = -ENOMEM;
	for (unsigned i = 0; i < LOG_PIPE_MAX_ && r >= 0; i++)
		r = make_pipe(writer, (enum log_pipe)i);
	if (r >= 0)
		r = start(writer);
	if (r >= 0)
		r = send_ours(writer);
	if (r < 0) {
		log_writer_free(writer);
		return r;
	}
	*ret = writer;
	return 0;
}

int log_writer_pipe(const struct log_writer *writer, enum log_pipe which)
{
	return writer->write[which];
}

/* The last of ours that could be written to it: it ends when those of others are closed, too. */
static void wait_end(struct log_writer *writer)
{
	struct pollfd p = {.fd = writer->pidfd, .events = POLLIN};

	if (writer->pid <= 0 || poll(&p, 1, END_MS) <= 0)
		return; /* it waits for the disk, and goes on when that answers */
	(void)waitpid(writer->pid, NULL, 0);
}

void log_writer_free(struct log_writer *writer)
{
	if (!writer)
		return;
	loop_source_free(TAKE_PTR(writer->again));
	loop_source_free(TAKE_PTR(writer->exit));
	log_open(STDERR_FILENO, LOG_INFO);
	for (unsigned i = 0; i < LOG_PIPE_MAX_; i++) {
		bg_close(writer->write[i]);
		bg_close(writer->read[i]);
		free(writer->path[i]);
	}
	wait_end(writer);
	forget(writer);
	free(writer);
}
