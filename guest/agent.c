/* SPDX-License-Identifier: ISC */
/*
 * See agent.h. One epoll loop over the carrier, the vsock listener, inotify and the sessions. The
 * stream is watched edge-triggered: a virtio-serial port without a host reports
 * POLLHUP all the time, and the agent must sleep meanwhile. So every wake-up reads
 * until the kernel has no more.
 */
#include "guest/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "common/agent_proto.h"
#include "common/fd.h"
#include "guest/conversation.h"
#include "guest/gap.h"
#include "guest/link.h"
#include "guest/log.h"
#include "guest/mounts.h"
#include "guest/session.h"
#include "guest/shutdown.h"
#include "guest/trim.h"
#include "guest/watch.h"

enum {
	PORT_TIMEOUT_MS = 120000, /* without its port the agent is deaf for this whole boot */
	STALL_MS = 100,		  /* silence in the middle of a frame before it is looked into */
};

static struct agent {
	const struct agent_setup *setup;
	struct conversation conversation;
	struct link link;
	struct watch watch;
	int epoll;
	int trim; /* trim_start */
} agent;

static void watch_fd(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (fd >= 0)
		(void)epoll_ctl(agent.epoll, EPOLL_CTL_ADD, fd, &e);
}

/* A port tells of a leaving host out of order with the bytes of the next one; a socket does not. */
static void hangup(void)
{
	if (agent.link.kind == CONF_AGENT_VIRTIO) {
		conversation_host_left(&agent.conversation);
		return;
	}
	conversation_reset(&agent.conversation);
	link_hangup(&agent.link);
}

static void flush(void)
{
	while (agent.link.fd >= 0 && agent.conversation.out_len > 0) {
		ssize_t n = write(agent.link.fd, agent.conversation.out + agent.conversation.out_at,
			agent.conversation.out_len);

		if (n > 0)
			conversation_sent(&agent.conversation, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			return;
		else {
			hangup();
			return;
		}
	}
}

/* Input that the conversation did not take stays here until there is room for its answers. */
static struct {
	uint8_t bytes[64 * 1024];
	size_t at, len;
} input;

/* False when the carrier has nothing more for now. */
static bool fill(void)
{
	ssize_t n;

	if (input.at < input.len)
		return true;
	input.at = input.len = 0;
	n = read(agent.link.fd, input.bytes, sizeof(input.bytes));
	if (n > 0) {
		input.len = (size_t)n;
		return true;
	}
	if (n < 0 && errno == EINTR)
		return fill();
	if (n == 0 || errno != EAGAIN)
		hangup();
	return false;
}

static void take_input(void)
{
	while (agent.link.fd >= 0 && conversation_wants_input(&agent.conversation) && fill()) {
		input.at += conversation_input(
			&agent.conversation, input.bytes + input.at, input.len - input.at);
		flush();
	}
}

/* Until nothing moves: the carrier and the streams wait for each other's room. */
static void pump(void)
{
	do {
		flush();
		take_input();
	} while (sessions_pump());
	flush();
}

static void on_connect(void)
{
	if (link_accept(&agent.link) < 0)
		return;
	conversation_reset(&agent.conversation);
	input.at = input.len = 0;
	watch_fd(agent.link.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* The image may have an ssh server now. */
static void on_setup_end(int fd)
{
	const char *sshd = watch_find_sshd();

	(void)epoll_ctl(agent.epoll, EPOLL_CTL_DEL, fd, NULL);
	(void)bg_close(agent.watch.fd);
	watch_init(&agent.watch, sshd);
	watch_fd(agent.watch.fd, EPOLLIN);
	conversation_add_flags(
		&agent.conversation, BG_AGENT_F_SETUP_END | (sshd ? 0 : BG_AGENT_F_NO_SSHD));
}

/* One byte, once; or the process is gone. */
static void on_disk_error(int fd)
{
	char byte;

	if (read(fd, &byte, 1) == 1) {
		log_line("ext4 has recorded an error: e2fsck is to repair a disk");
		conversation_add_flags(&agent.conversation, BG_AGENT_F_FS_ERROR);
	}
	(void)epoll_ctl(agent.epoll, EPOLL_CTL_DEL, fd, NULL);
	agent.trim = bg_close(fd);
}

static void on_event(int fd)
{
	if (fd == agent.watch.fd)
		watch_event(&agent.watch);
	else if (fd == agent.link.listen)
		on_connect();
	else if (fd == agent.setup->setup)
		on_setup_end(fd);
	else if (fd == agent.trim)
		on_disk_error(fd);
	else
		(void)sessions_event(fd);
}

/* -1: never */
static int sooner(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : BG_MIN(a, b);
}

/* The timeout that is due first; the stall only once per silence. */
static int timeout_ms(bool stalled)
{
	int ms = sooner(watch_timeout(&agent.watch), sessions_timeout());

	return stalled || !conversation_partial(&agent.conversation) ? ms : sooner(ms, STALL_MS);
}

static void check_sshd(void)
{
	if (!agent.watch.found && watch_check(&agent.watch)) {
		log_line("ssh server listens");
		conversation_add_flags(&agent.conversation, BG_AGENT_F_SSHD);
		pump();
	}
}

static _noreturn_ void loop(void)
{
	struct epoll_event events[32];
	bool stalled = false;

	for (;;) {
		int n = epoll_wait(agent.epoll, events, ARRAY_SIZE(events), timeout_ms(stalled));

		for (int i = 0; i < n; i++)
			on_event(events[i].data.fd);
		pump();
		if (n == 0 && conversation_partial(&agent.conversation) && !stalled) {
			conversation_stalled(&agent.conversation);
			pump();
			stalled = true;
		} else if (n > 0) {
			stalled = false;
		}
		check_sshd();
		if (agent.conversation.shutdown) {
			agent.conversation.shutdown = false;
			shutdown_request(agent.setup->conf, agent.conversation.how);
		}
	}
}

/*
 * systemd spares processes whose command line starts with '@' when it ends all
 * others; every init's SIGTERM is ignored, so that the agent answers to the end.
 */
static void rename_self(char **argv)
{
	static const char name[] = "@banger-agent";
	char *end = argv[0] + strlen(argv[0]) + 1;

	for (int i = 1; argv[i]; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	for (int i = 0; environ[i]; i++)
		end = environ[i] + strlen(environ[i]) + 1;
	if ((size_t)(end - argv[0]) <= sizeof(name))
		return;
	memset(argv[0], 0, (size_t)(end - argv[0]));
	memcpy(argv[0], name, sizeof(name));
	environ[0] = NULL;
	(void)prctl(PR_SET_NAME, "banger-agent");
}

static void become_agent(char **argv)
{
	static const int ignored[] = {SIGTERM, SIGHUP, SIGINT, SIGPIPE, SIGUSR1, SIGUSR2};
	_close_ int oom = -1;
	sigset_t none;
	int null;

	(void)setsid();
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	rename_self(argv);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		(void)dup2(null, fd);
	if (null > 2)
		(void)close(null);
	oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0)
		(void)bg_write_all(oom, "-1000", 5);
}

static _noreturn_ void agent_main(const struct agent_setup *setup)
{
	_err_ struct bg_err *err = NULL;

	become_agent(setup->argv);
	log_open();
	agent.setup = setup;
	agent.trim = trim_start(setup->conf);
	agent.epoll = epoll_create1(EPOLL_CLOEXEC);
	conversation_init(&agent.conversation, setup->conf->id, setup->flags);
	agent.conversation.gap = gap_put_right;
	sessions_init(&agent.conversation, agent.epoll);
	watch_init(&agent.watch, setup->sshd);
	if (link_open(&agent.link, setup->conf->agent, setup->events, PORT_TIMEOUT_MS, &err) < 0)
		log_line("agent: %s", err->message);
	else
		log_line("agent ready");
	bg_close(setup->events);
	watch_fd(agent.link.fd, EPOLLIN | EPOLLOUT | EPOLLET);
	watch_fd(agent.link.listen, EPOLLIN);
	watch_fd(agent.watch.fd, EPOLLIN);
	watch_fd(setup->setup, EPOLLIN);
	watch_fd(agent.trim, EPOLLIN);
	conversation_boot(&agent.conversation);
	pump();
	loop();
}

int agent_start(const struct agent_setup *setup, int not_for_it)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)bg_close(not_for_it);
		agent_main(setup);
	}
	return 0;
}
