/* SPDX-License-Identifier: ISC */
/*
 * The streams of the agent (guest/session.c), from the bytes of a host that keeps to nothing. The
 * commands are pipes of ours: what they are given they write to both outputs, and they end when the
 * input ends; the clock is ours too. The first byte chooses the split and how much the host
 * reads. Whatever comes: answers are frames, never more data than the windows allow, at most one
 * end for each request, no descriptor stays open, and without a host every slot becomes free.
 */
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "guest/killall.h"
#include "guest/log.h"
#include "guest/session.h"
#include "guest/spawn.h"
#include "tests/fuzz/fuzz.h"

enum {
	PID_FIRST = 1 << 23, /* above what the kernel ever gives: a signal to it reaches nobody */
	COMMANDS_MAX = 256,
	EVENTS = 64,
	TURN_MS = 700,
	TURNS_MAX = 64,
};

/* What a command holds; pid 0: it was collected. */
struct command {
	pid_t pid;
	bool ended;
	int fd[BG_AGENT_SUBS];
};

static struct conversation conversation;
static struct bg_agent_reader asked, answered;
static struct command commands[COMMANDS_MAX];
static size_t n_commands;
static int epoll = -1;
static uint64_t clock_ms;
static uint64_t granted, sent, requests, ends;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s\n", what);
	abort();
}

/* In place of guest/log.c. */
uint64_t uptime_ms(void)
{
	return clock_ms;
}

void log_line(const char *fmt, ...)
{
	(void)fmt;
}

static void close_command(struct command *c)
{
	for (int i = 0; i < BG_AGENT_SUBS; i++)
		c->fd[i] = bg_close(c->fd[i]);
	c->ended = true;
}

/* In place of guest/killall.c. */
void killall_session(pid_t leader, int sig)
{
	for (size_t i = 0; i < n_commands; i++)
		if (commands[i].pid == leader && (sig == SIGKILL || leader % 2 == 0))
			close_command(&commands[i]);
}

static void make_pipe(int *reader, int *writer)
{
	int fds[2];

	must(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
	*reader = fds[0];
	*writer = fds[1];
}

/* In place of guest/spawn.c. */
int spawn(const struct bg_exec *x, struct spawned *ret)
{
	struct command *c = &commands[n_commands];

	if (n_commands == COMMANDS_MAX || bg_streq(x->argv[0], "refused"))
		return -EAGAIN;
	c->pid = PID_FIRST + (pid_t)n_commands++;
	c->ended = false;
	make_pipe(&c->fd[0], &ret->fd[0]);
	make_pipe(&ret->fd[1], &c->fd[1]);
	make_pipe(&ret->fd[2], &c->fd[2]);
	ret->pid = c->pid;
	return 0;
}

/* In place of libc's. */
pid_t waitpid(pid_t pid, int *status, int flags)
{
	(void)flags;
	for (size_t i = 0; i < n_commands; i++)
		if (commands[i].pid == pid && commands[i].ended) {
			*status = 0;
			commands[i].pid = 0;
			return pid;
		}
	return 0;
}

static void live(struct command *c)
{
	char buf[3000];
	ssize_t n;

	if (c->pid == 0 || c->ended)
		return;
	n = read(c->fd[0], buf, sizeof(buf));
	for (int i = 1; n > 0 && i < BG_AGENT_SUBS; i++)
		(void)!write(c->fd[i], buf, (size_t)n);
	if (n == 0)
		close_command(c);
}

static void read_answers(size_t most)
{
	size_t n = BG_MIN(most, conversation.out_len), left = n;
	const uint8_t *p = conversation.out + conversation.out_at;
	struct bg_agent_frame f;
	int r;

	while ((r = bg_agent_next(&answered, &p, &left, &f)) != 0) {
		must(r > 0, "an answer is no frame");
		sent += f.type == BG_AGENT_DATA ? f.len : 0;
		ends += f.type == BG_AGENT_DONE;
	}
	must(sent <= granted, "more data than the windows allow");
	must(ends <= requests, "more ends than requests");
	conversation_sent(&conversation, n);
}

static void turn(size_t most)
{
	struct epoll_event events[EVENTS];
	int n;

	for (size_t i = 0; i < n_commands; i++)
		live(&commands[i]);
	(void)raise(SIGCHLD);
	n = epoll_wait(epoll, events, EVENTS, 0);
	for (int i = 0; i < n; i++)
		must(sessions_event(events[i].data.fd), "an event of a descriptor that nobody has");
	for (int i = 0; i < TURNS_MAX && sessions_pump(); i++)
		read_answers(most);
	read_answers(most);
	clock_ms += TURN_MS;
}

/* What the host's frames allow the guest: seen by a reader of its own. */
static void count_input(const uint8_t *p, size_t n)
{
	struct bg_agent_frame f;
	uint32_t more;
	int r;

	while ((r = bg_agent_next(&asked, &p, &n, &f)) != 0) {
		if (r < 0)
			continue;
		if (f.type == BG_AGENT_EXEC)
			granted += 2 * BG_AGENT_WINDOW;
		if (f.type == BG_AGENT_CREDIT) {
			memcpy(&more, f.payload, sizeof(more));
			granted += le32toh(more);
		}
		requests += f.type == BG_AGENT_EXEC || f.type == BG_AGENT_SHUTDOWN ||
			    f.type > BG_AGENT_SIGNAL;
	}
}

static void feed(const uint8_t *p, size_t n, size_t most)
{
	count_input(p, n);
	while (n > 0) {
		size_t taken = conversation_input(&conversation, p, n);

		p += taken;
		n -= taken;
		if (n > 0)
			read_answers(sizeof(conversation.out));
	}
	turn(most);
}

/* The host is gone: everything is ended, and the slots become free. */
static void leave(void)
{
	conversation_reset(&conversation);
	bg_agent_reader_init(&answered, BG_AGENT_END_HOST);
	for (int i = 0; i < 4; i++)
		turn(sizeof(conversation.out));
	must(sessions_timeout() == -1, "a session stayed");
	for (size_t i = 0; i < n_commands; i++)
		must(commands[i].pid == 0, "a command was not ended, or not collected");
	n_commands = 0;
}

/* The sessions hook themselves in once; their descriptor stays. */
static void begin(void)
{
	static const struct conversation_streams *streams;
	static const uint8_t id[16];

	conversation_init(&conversation, id, 0);
	if (!streams) {
		(void)signal(SIGPIPE, SIG_IGN); /* as the agent does */
		epoll = epoll_create1(EPOLL_CLOEXEC);
		sessions_init(&conversation, epoll);
		streams = conversation.streams;
		must(streams != NULL, "no sessions");
	}
	conversation.streams = streams;
	bg_agent_reader_init(&asked, BG_AGENT_END_GUEST);
	bg_agent_reader_init(&answered, BG_AGENT_END_HOST);
	clock_ms = 1000;
	granted = sent = requests = ends = 0;
}

static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	must(fd >= 0, "no descriptor is left");
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece, most;
	int lowest;

	if (size < 2)
		return 0;
	begin();
	lowest = lowest_fd();
	piece = (size_t)(data[0] >> 2) * 16 + 1;
	most = data[0] & 1 ? sizeof(conversation.out) : 1000;
	for (size_t at = 1; at < size; at += piece)
		feed(data + at, BG_MIN(piece, size - at), most);
	leave();
	must(lowest_fd() == lowest, "a descriptor stayed open");
	return 0;
}
