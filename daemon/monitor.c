/* SPDX-License-Identifier: ISC */
#include "daemon/monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/log.h"
#include "daemon/boot.h"
#include "daemon/loop/loop.h"
#include "daemon/loop/spawn.h"
#include "daemon/monitor_bootstrap.h"
#include "daemon/monitor_proto.h"
#include "daemon/priv/priv_client.h"

#define RESTART_MIN_USEC                                                                           \
	100000ULL /* the first restart is almost at once: clients wait in the backlog */
#define RESTART_MAX_USEC 30000000ULL
#define LIVED_WELL_USEC	 60000000ULL /* an engine that lived so long starts the back-off anew */
#define STOP_GRACE_USEC                                                                            \
	60000000ULL /* then the engine is killed: what it had begun is undone at the next start */

struct child {
	pid_t pid;
	int pidfd;
	struct loop_source *exit;
};

struct monitor {
	const struct bg_paths *paths;
	int lock_fd, listen_fd, ready_fd;
	struct loop *loop;
	struct child engine, helper, disk;
	int sock;
	struct loop_source *sock_source, *restart, *kill, *term, *intr;
	struct bootstraps *bootstraps;
	uint64_t started_usec, delay_usec;
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

static void on_helper_exit(pid_t pid, int status, void *userdata)
{
	struct child *helper = userdata;
	char text[16];

	child_done(helper);
	snprintf(text, sizeof(text), "%d", status);
	log_msg(LOG_DEBUG, "monitor", "a helper ended", "status", text, NULL);
}

/* One that has lost its engine ends by itself, soon; killed at any point, the next one puts right
 * what it left. */
static void end_helper(struct child *helper)
{
	if (helper->pid > 0 && pidfd_send_signal(helper->pidfd, SIGKILL, NULL, 0) >= 0)
		(void)waitid(P_PIDFD, (id_t)helper->pidfd, &(siginfo_t){0}, WEXITED);
	child_done(helper);
}

/* -1 when it cannot be started: the engine finds out why and tells who asks for what it does. */
static int start_helper(
	struct monitor *m, struct child *helper, const char *path, enum log_level missing)
{
	int sock = -1, r;

	end_helper(helper);
	r = priv_spawn_helper(path, &sock, &helper->pid);
	if (r < 0) {
		log_msg(missing, "monitor", "a helper does not start", "path", path, "error",
			strerror(-r), NULL);
		return -1;
	}
	(void)fcntl(sock, F_SETFD, FD_CLOEXEC);
	helper->pidfd = pidfd_open(helper->pid, 0);
	if (helper->pidfd >= 0)
		(void)loop_add_exit(m->loop, "helper", helper->pid, helper->pidfd, on_helper_exit,
			helper, &helper->exit);
	return sock;
}

static void give_helper(struct monitor *m, uint32_t id)
{
	bool net = id == MONITOR_HELPER_NET;
	_close_ int sock = start_helper(m, net ? &m->helper : &m->disk,
		net ? priv_helper_path() : priv_disk_helper_path(), LOG_DEBUG);
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
	m->ready = true;
	m->ready_fd = bg_close(m->ready_fd); /* the engine has said "ok" there */
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
	start_engine(m);
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
}

static void describe(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

static void report_early_death(struct monitor *m, const char *how)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_DAEMON_UNREACHABLE, ECHILD,
		"bangerd's engine ended before it served: %s", how);
	bg_err_hint(&err, "its log may say more: %s", m->paths->log_file);
	boot_failed(&m->ready_fd, err);
}

/* Its exit may be seen before its last words: that it had served decides what follows. */
static void hear_last_words(struct monitor *m)
{
	static struct monitor_packet packet;

	while (m->sock_source && monitor_recv(m->sock, &packet) >= 0) {
		if (packet.msg.verb == MONITOR_READY)
			on_ready(m);
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
	loop_source_free(TAKE_PTR(m->sock_source));
	m->sock = bg_close(m->sock);
	bootstraps_abandon(m->bootstraps);
	if (code == BG_EXIT_OK || m->stopping || told || !m->ready) {
		log_msg(code == BG_EXIT_OK ? LOG_INFO : LOG_ERROR, "monitor", "the engine ended",
			"how", how, NULL);
		if (code != BG_EXIT_OK && !told && !m->ready)
			report_early_death(m, how);
		finish(m, code);
		return;
	}
	log_msg(LOG_ERROR, "monitor", "the engine died and is started again", "how", how, NULL);
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
	s.fd[ENGINE_FD_READY] = m->ready_fd;
	s.fd[ENGINE_FD_DISK] = disk;
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
	helper = start_helper(m, &m->helper, priv_helper_path(), LOG_WARN);
	disk = start_helper(
		m, &m->disk, priv_disk_helper_path(), LOG_DEBUG); /* many hosts need none */
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
	boot_failed(&m->ready_fd, err);
	finish(m, BG_EXIT_DAEMON);
}

static void on_kill(void *userdata)
{
	struct monitor *m = userdata;

	log_msg(LOG_ERROR, "monitor", "the engine does not end: killed", NULL);
	(void)pidfd_send_signal(m->engine.pidfd, SIGKILL, NULL, 0);
}

static void on_stop(int signo, void *userdata)
{
	struct monitor *m = userdata;

	if (m->engine.pid == 0) {
		finish(m, BG_EXIT_OK); /* between two engines */
		return;
	}
	(void)pidfd_send_signal(m->engine.pidfd, SIGTERM, NULL, 0);
	if (!m->stopping)
		(void)loop_add_timer(m->loop, "stop", STOP_GRACE_USEC, on_kill, m, &m->kill);
	m->stopping = true;
}

static int set_up(struct monitor *m)
{
	int r;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* the terminal that started us went away */
	r = loop_new(&m->loop);
	if (r >= 0)
		r = bootstraps_new(m->loop, on_bootstrap_exit, m, &m->bootstraps);
	if (r >= 0)
		r = loop_add_signal(m->loop, "SIGTERM", SIGTERM, on_stop, m, &m->term);
	if (r >= 0)
		r = loop_add_signal(m->loop, "SIGINT", SIGINT, on_stop, m, &m->intr);
	return r;
}

static void tear_down(struct monitor *m)
{
	struct loop_source *all[] = {m->sock_source, m->restart, m->kill, m->term, m->intr};

	bootstraps_free(m->bootstraps);
	child_done(&m->engine);
	child_done(&m->helper);
	child_done(&m->disk);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		loop_source_free(all[i]);
	loop_free(m->loop);
	(void)unlink(m->paths->socket); /* ours: the lock is still held */
	bg_close(m->sock);
	bg_close(m->ready_fd);
	bg_close(m->listen_fd);
	bg_close(m->lock_fd);
}

int monitor_run(const struct bg_paths *paths, int lock_fd, int listen_fd, int ready_fd)
{
	struct monitor m = {.paths = paths,
		.lock_fd = lock_fd,
		.listen_fd = listen_fd,
		.ready_fd = ready_fd,
		.engine.pidfd = -1,
		.helper.pidfd = -1,
		.disk.pidfd = -1,
		.sock = -1};
	int code = BG_EXIT_DAEMON;

	if (set_up(&m) >= 0) {
		start_engine(&m);
		code = loop_run(m.loop);
	}
	tear_down(&m);
	return code;
}
