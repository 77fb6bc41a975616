/* SPDX-License-Identifier: ISC */
/*
 * monitor.c: Event by event: a child ended, a datagram of the engine, a signal. Nothing here
 * parses what a client or a guest sent.
 */
#include "daemon/monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/proc.h"
#include "daemon/boot.h"
#include "daemon/claim.h"
#include "daemon/log_writer.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/spawn.h"
#include "daemon/monitor_bootstrap.h"
#include "daemon/monitor_helper.h"
#include "daemon/monitor_proto.h"
#include "daemon/service.h"

/* the first restart is almost at once: clients wait in the backlog */
#define RESTART_MIN_USEC 100000ULL
#define RESTART_MAX_USEC 30000000ULL
#define HURRY_USEC	 1000000ULL  /* between two starts, when a client waits */
#define LIVED_WELL_USEC	 60000000ULL /* an engine that lived so long starts the back-off anew */
#define WATCH_USEC	 (MONITOR_BEAT_S * 1000000ULL)
#define NO_BEAT_USEC	 (WATCH_USEC * 3 / 2) /* then we look without having been woken by one */
#define HUNG_USEC	 20000000ULL	      /* below what a client waits for its answer */
#define STATUS_MAX	 16384
#define INIT_PID	 1
/* VMs may have to be shut down; then the engine is killed: what it had begun is undone at the
 * next start */
#define STOP_GRACE_USEC 100000000ULL

struct child {
	pid_t pid;
	int pidfd;
	struct loop_source *exit;
};

struct monitor {
	const struct bg_paths *paths;
	int lock_fd, claim_fd, listen_fd, ready_fd;
	struct loop *loop;
	struct child engine;
	struct monitor_helpers *helpers;
	struct log_writer *logs;
	int sock;
	struct loop_source *sock_source, *restart, *knock, *kill, *watch, *term, *intr, *claim;
	struct bootstraps *bootstraps;
	uint64_t started_usec, delay_usec;
	uint64_t beat_usec, watched_usec; /* the engine's last sign of life; when we last looked */
	struct bound_socket bound;
	char *why; /* this engine's words on why it cannot start, for those who wait */
	int why_status;
	bool serves;   /* this engine has said so: silence is a hang */
	bool ready;    /* some engine has served: from then on a dead one is started again */
	bool stopping; /* we were asked to end */
};

static void child_done(struct child *child)
{
	loop_source_free(TAKE_PTR(child->exit));
	child->pidfd = bg_close(child->pidfd);
	child->pid = 0;
}

static void finish(struct monitor *m, int code)
{
	loop_exit(m->loop, code);
}

/* -1 when it cannot be started: the engine finds out why and tells who asks for what it does. */
static int start_helper(struct monitor *m, enum monitor_helper which, enum log_level missing)
{
	int sock = monitor_helpers_start(m->helpers, which);

	if (sock < 0)
		log_msg(missing, "monitor", "a helper does not start", "helper",
			which == MONITOR_HELPER_NET ? "network" : "disk", "error", strerror(-sock),
			NULL);
	return BG_MAX(sock, -1);
}

static void give_helper(struct monitor *m, uint32_t id)
{
	_close_ int sock = start_helper(m, (enum monitor_helper)id, LOG_DEBUG);
	struct monitor_msg msg = {.verb = MONITOR_HELPER, .id = id, .status = sock < 0 ? EIO : 0};

	if (monitor_send(m->sock, &msg, NULL, &sock, sock >= 0) < 0)
		log_msg(LOG_ERROR, "monitor", "the engine does not take messages", NULL);
}

static void reply_exited(struct monitor *m, uint32_t id, int status)
{
	struct monitor_msg msg = {.verb = MONITOR_EXITED, .id = id, .status = status};

	if (m->sock >= 0 && monitor_send(m->sock, &msg, NULL, NULL, 0) < 0)
		log_msg(LOG_ERROR, "monitor", "the engine does not take messages", NULL);
}

static void on_bootstrap_exit(uint32_t id, int status, void *userdata)
{
	reply_exited(userdata, id, status);
}

static void on_ready(struct monitor *m)
{
	m->ready = m->serves = true;
	m->beat_usec = loop_now_usec();
	boot_ready(m->paths, &m->ready_fd);
	service_say("READY=1\nSTATUS=serving");
}

static void on_failed(struct monitor *m, const struct monitor_packet *packet)
{
	free(m->why);
	m->why = strndup(packet->payload, packet->msg.length);
	m->why_status = packet->msg.status;
}

/* Under a debugger, silence is its user's wish. */
static bool traced(pid_t pid)
{
	_free_ char *text = NULL;
	const char *p = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (bg_read_file_at(AT_FDCWD, path, STATUS_MAX, &text, NULL) >= 0)
		p = strstr(text, "\nTracerPid:");
	return p && strtol(p + strlen("\nTracerPid:"), NULL, 10) > 0;
}

/*
 * An engine in the middle of a call that waits for a disk (one that is slow, a file system that is frozen for a snapshot) cannot be
 * killed before the disk answers, and goes on then by itself.
 */
static void watch_engine(struct monitor *m, uint64_t now)
{
	if (!m->serves || now - m->beat_usec < HUNG_USEC || traced(m->engine.pid) ||
		bg_proc_state(m->engine.pid) == 'D')
		return;
	log_msg(LOG_ERROR, "monitor", "the engine hangs: killed, another is started", NULL);
	m->serves = false; /* once is enough */
	(void)pidfd_send_signal(m->engine.pidfd, SIGKILL, NULL, 0);
}

/* Its file was removed (a cleaner, a user): clients cannot find us until it is there again. */
static void watch_socket(struct monitor *m)
{
	struct monitor_msg msg = {.verb = MONITOR_LISTEN};
	_err_ struct bg_err *err = NULL;
	int fd;

	if (m->stopping || boot_bound(m->paths, &m->bound))
		return;
	if (boot_listen(m->paths, &fd, &m->bound, &err) < 0) {
		log_err(LOG_ERROR, "monitor", "the socket is gone and cannot be made again", err);
		return;
	}
	log_msg(LOG_WARN, "monitor", "the socket was removed: made again", NULL);
	bg_close(m->listen_fd);
	m->listen_fd = fd;
	if (m->engine.pid && monitor_send(m->sock, &msg, NULL, &fd, 1) < 0)
		log_msg(LOG_ERROR, "monitor", "the engine does not take messages", NULL);
}

static void on_watch(void *userdata);

/* Each beat of the engine's puts it off: nothing wakes us for a look alone while it lives. */
static int next_watch(struct monitor *m)
{
	loop_source_free(TAKE_PTR(m->watch));
	return loop_add_timer(m->loop, "watch", NO_BEAT_USEC, on_watch, m, &m->watch);
}

static void on_watch(void *userdata)
{
	struct monitor *m = userdata;
	uint64_t now = loop_now_usec();

	/* We did not run either (a stopped machine): the engine's beats are not heard yet. */
	if (now - m->watched_usec > 2 * WATCH_USEC)
		m->beat_usec = now;
	m->watched_usec = now;
	watch_engine(m, now);
	watch_socket(m);
	service_alive();
	if (next_watch(m) < 0)
		log_msg(LOG_ERROR, "monitor", "out of memory: the engine is not watched any more",
			NULL);
}

static void on_alive(struct monitor *m)
{
	m->beat_usec = loop_now_usec();
	on_watch(m);
}

/* A verb that only goes the other way, like a malformed message: the engine is not itself. */
static void distrust(struct monitor *m)
{
	log_msg(LOG_ERROR, "monitor", "the engine sent a malformed message: killed", NULL);
	loop_source_free(TAKE_PTR(m->sock_source));
	(void)pidfd_send_signal(m->engine.pidfd, SIGKILL, NULL, 0);
}

static void on_packet(struct monitor *m, const struct monitor_packet *packet)
{
	int r;

	switch ((enum monitor_verb)packet->msg.verb) {
	case MONITOR_READY:
		on_ready(m);
		break;
	case MONITOR_ALIVE:
		on_alive(m);
		break;
	case MONITOR_FAILED:
		on_failed(m, packet);
		break;
	case MONITOR_BOOTSTRAP:
		r = bootstraps_start(m->bootstraps, packet);
		if (r < 0) {
			log_msg(LOG_ERROR, "monitor", "bootstrap refused", "error", strerror(-r),
				NULL);
			reply_exited(m, packet->msg.id, 126 << 8);
		}
		break;
	case MONITOR_CANCEL:
		bootstraps_cancel(m->bootstraps, packet->msg.id);
		break;
	case MONITOR_WANT_HELPER:
		give_helper(m, packet->msg.id);
		break;
	case MONITOR_EXITED:
	case MONITOR_HELPER:
	case MONITOR_LISTEN:
	case MONITOR_STOP:
		distrust(m);
		break;
	}
}

static void on_sock(int fd, unsigned events, void *userdata)
{
	static struct monitor_packet packet; /* 32 KiB: not on the stack */
	struct monitor *m = userdata;
	int r;

	r = monitor_recv(fd, &packet);
	if (r == -EPIPE)
		loop_source_free(TAKE_PTR(m->sock_source)); /* its exit follows */
	else if (r == -EBADMSG)
		distrust(m);
	else if (r >= 0)
		on_packet(m, &packet);
	if (r >= 0)
		monitor_packet_done(&packet);
}

static void start_engine(struct monitor *m);

static void on_restart(void *userdata)
{
	struct monitor *m = userdata;

	loop_source_free(TAKE_PTR(m->restart));
	loop_source_free(TAKE_PTR(m->knock));
	start_engine(m);
}

/* Somebody waits: the pause is cut to what keeps a crash from being a busy loop. */
static void on_knock(int fd, unsigned events, void *userdata)
{
	struct monitor *m = userdata;
	uint64_t lived = loop_now_usec() - m->started_usec;

	(void)fd;
	(void)events;
	loop_source_free(TAKE_PTR(m->knock));
	loop_source_free(TAKE_PTR(m->restart));
	if (loop_add_timer(m->loop, "restart", lived >= HURRY_USEC ? 0 : HURRY_USEC - lived,
		    on_restart, m, &m->restart) < 0)
		finish(m, BG_EXIT_DAEMON);
}

static void schedule_restart(struct monitor *m)
{
	uint64_t lived = loop_now_usec() - m->started_usec;

	if (lived > LIVED_WELL_USEC || m->delay_usec == 0)
		m->delay_usec = RESTART_MIN_USEC;
	else
		m->delay_usec = BG_MIN(m->delay_usec * 2, RESTART_MAX_USEC);
	if (loop_add_timer(m->loop, "restart", m->delay_usec, on_restart, m, &m->restart) < 0)
		finish(m, BG_EXIT_DAEMON);
	if (m->delay_usec > HURRY_USEC)
		(void)loop_add_fd(
			m->loop, "knock", m->listen_fd, LOOP_READ, on_knock, m, &m->knock);
}

static void describe(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

/* Whoever waits gets the reason: on the ready fd, on the socket, later by `banger daemon status`.
 */
static void report(struct monitor *m, const char *text, int status)
{
	boot_unlisten(m->paths, &m->bound);
	boot_note(m->paths, text);
	boot_refuse(m->listen_fd, status, text);
	boot_tell(&m->ready_fd, text);
}

static void report_err(struct monitor *m, const struct bg_err *err)
{
	_free_ char *text = boot_error_text(err);

	report(m, text ? text : "{}", bg_err_code_http(err->code));
}

static void report_early_death(struct monitor *m, const char *how)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_DAEMON_UNREACHABLE, ECHILD,
		"bangerd's engine ended before it served: %s", how);
	bg_err_hint(&err, "its log may say more: %s", m->paths->log_file);
	report_err(m, err);
}

/* Its exit may be seen before its last words: that it had served decides what follows. */
static void hear_last_words(struct monitor *m)
{
	static struct monitor_packet packet;

	while (m->sock_source && monitor_recv(m->sock, &packet) >= 0) {
		if (packet.msg.verb == MONITOR_READY)
			on_ready(m);
		else if (packet.msg.verb == MONITOR_FAILED)
			on_failed(m, &packet);
		monitor_packet_done(&packet);
	}
}

static bool could_not_start(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) >= ENGINE_EXIT_START &&
	       WEXITSTATUS(status) <= ENGINE_EXIT_START_MAX;
}

static int exit_code(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == ENGINE_EXIT_OK)
		return BG_EXIT_OK;
	return could_not_start(status) ? WEXITSTATUS(status) - ENGINE_EXIT_START : BG_EXIT_DAEMON;
}

static void on_engine_exit(pid_t pid, int status, void *userdata)
{
	bool told = could_not_start(status);
	int code = exit_code(status);
	struct monitor *m = userdata;
	char how[48];

	describe(status, how, sizeof(how));
	child_done(&m->engine);
	hear_last_words(m);
	m->serves = false;
	loop_source_free(TAKE_PTR(m->sock_source));
	m->sock = bg_close(m->sock);
	bootstraps_abandon(m->bootstraps);
	if (code == BG_EXIT_OK || m->stopping || told || !m->ready) {
		log_msg(code == BG_EXIT_OK ? LOG_INFO : LOG_ERROR, "monitor", "the engine ended",
			"how", how, NULL);
		if (told && m->why)
			report(m, m->why, m->why_status);
		else if (code != BG_EXIT_OK && !m->stopping)
			report_early_death(m, how);
		finish(m, code);
		return;
	}
	log_msg(LOG_ERROR, "monitor", "the engine died and is started again", "how", how, NULL);
	service_say("STATUS=the engine died and is started again");
	schedule_restart(m);
}

static int spawn_engine(struct monitor *m, int theirs, int helper, int disk, struct bg_err **err)
{
	static const char *const argv[] = {"bangerd: engine", "--engine", NULL};
	struct spawn s = {.path = "/proc/self/exe", .argv = argv, .n_fds = ENGINE_FD_MAX_};

	s.fd[0] = s.fd[1] = -1;
	s.fd[2] = STDERR_FILENO;
	s.fd[ENGINE_FD_LISTEN] = m->listen_fd;
	s.fd[ENGINE_FD_MONITOR] = theirs;
	s.fd[ENGINE_FD_LOCK] = m->lock_fd;
	s.fd[ENGINE_FD_HELPER] = helper;
	s.fd[ENGINE_FD_DISK] = disk;
	s.fd[ENGINE_FD_LOG] = log_writer_pipe(m->logs, LOG_PIPE_DAEMON);
	s.fd[ENGINE_FD_WORKER_LOG] = log_writer_pipe(m->logs, LOG_PIPE_WORKERS);
	return spawn_process(&s, &m->engine.pid, &m->engine.pidfd, err);
}

static int try_start(struct monitor *m, struct bg_err **err)
{
	_close_ int theirs = -1, helper = -1, disk = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "a socket pair for the engine");
	m->sock = pair[0];
	theirs = pair[1];
	helper = start_helper(m, MONITOR_HELPER_NET, LOG_WARN);
	disk = start_helper(m, MONITOR_HELPER_DISK, LOG_DEBUG); /* many hosts need none */
	m->started_usec = loop_now_usec();
	r = spawn_engine(m, theirs, helper, disk, err);
	if (r >= 0)
		r = loop_add_exit(m->loop, "engine", m->engine.pid, m->engine.pidfd, on_engine_exit,
			m, &m->engine.exit);
	if (r >= 0)
		r = loop_add_fd(
			m->loop, "engine socket", m->sock, LOOP_READ, on_sock, m, &m->sock_source);
	if (r < 0 && err && !*err)
		bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the engine");
	return r;
}

static void start_engine(struct monitor *m)
{
	_err_ struct bg_err *err = NULL;

	if (try_start(m, &err) >= 0)
		return;
	log_err(LOG_ERROR, "monitor", "the engine does not start", err);
	report_err(m, err);
	finish(m, BG_EXIT_DAEMON);
}

static void on_kill(void *userdata)
{
	struct monitor *m = userdata;

	log_msg(LOG_ERROR, "monitor", "the engine does not end: killed", NULL);
	(void)pidfd_send_signal(m->engine.pidfd, SIGKILL, NULL, 0);
}

/* Asked again, it does not wait any more: `banger daemon stop --force` is that. */
/*
 * The process that started the system ends sessions, and at a shutdown everything: all processes of
 * ours get the signal at the same time. VMs hold theirs back (spawn.h), and the engine has them
 * shut down before it ends. From anybody else it means the daemon alone.
 */
static void tell_to_stop(struct monitor *m, pid_t sender)
{
	struct monitor_msg msg = {.verb = MONITOR_STOP, .id = MONITOR_STOP_SESSION};

	if (sender == INIT_PID && monitor_send(m->sock, &msg, NULL, NULL, 0) >= 0)
		return;
	(void)pidfd_send_signal(m->engine.pidfd, SIGTERM, NULL, 0);
}

static void on_stop(int signo, pid_t sender, void *userdata)
{
	struct monitor *m = userdata;

	if (m->engine.pid == 0) {
		finish(m, BG_EXIT_OK); /* between two engines */
		return;
	}
	if (m->stopping) {
		on_kill(m);
		return;
	}
	tell_to_stop(m, sender);
	(void)loop_add_timer(m->loop, "stop", STOP_GRACE_USEC, on_kill, m, &m->kill);
	m->stopping = true;
	service_say("STOPPING=1");
}

static void on_claim(int fd, unsigned events, void *userdata)
{
	const struct monitor *m = userdata;

	(void)events;
	claim_answer(fd, m->paths);
}

static int set_up(struct monitor *m)
{
	int r;

	r = loop_new(&m->loop);
	if (r >= 0)
		r = log_writer_new(m->loop, m->paths, &m->logs);
	if (r >= 0)
		r = monitor_helpers_new(m->loop, &m->helpers);
	m->watched_usec = loop_now_usec();
	if (r >= 0 && m->claim_fd >= 0)
		r = loop_add_fd(m->loop, "claim", m->claim_fd, LOOP_READ, on_claim, m, &m->claim);
	if (r >= 0)
		r = next_watch(m);
	if (r >= 0)
		r = bootstraps_new(m->loop, on_bootstrap_exit, m, &m->bootstraps);
	if (r >= 0)
		r = loop_add_signal_from(m->loop, "SIGTERM", SIGTERM, on_stop, m, &m->term);
	if (r >= 0)
		r = loop_add_signal_from(m->loop, "SIGINT", SIGINT, on_stop, m, &m->intr);
	return r;
}

static void tear_down(struct monitor *m)
{
	struct loop_source *all[] = {m->sock_source, m->restart, m->knock, m->kill, m->watch,
		m->term, m->intr, m->claim};

	bootstraps_free(m->bootstraps);
	child_done(&m->engine);
	monitor_helpers_free(m->helpers);
	log_writer_free(m->logs);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		loop_source_free(all[i]);
	loop_free(m->loop);
	boot_unlisten(m->paths, &m->bound);
	free(m->why);
	bg_close(m->sock);
	bg_close(m->ready_fd);
	bg_close(m->listen_fd);
	bg_close(m->claim_fd);
	bg_close(m->lock_fd);
}

int monitor_run(const struct bg_paths *paths, const struct monitor_fds *fds)
{
	struct monitor m = {.paths = paths,
		.lock_fd = fds->lock,
		.claim_fd = fds->claim,
		.listen_fd = fds->listen,
		.ready_fd = fds->ready,
		.engine.pidfd = -1,
		.bound = fds->bound,
		.sock = -1};
	int code = BG_EXIT_DAEMON;

	if (set_up(&m) >= 0) {
		start_engine(&m);
		code = loop_run(m.loop);
	}
	tear_down(&m);
	return code;
}
