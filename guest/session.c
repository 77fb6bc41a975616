/* SPDX-License-Identifier: ISC */
/*
 * See session.h. Descriptors are watched edge-triggered and each keeps a bit that says whether the
 * kernel may have more: flow control then costs no system call. Sessions take turns, one piece
 * each.
 */
#include "guest/session.h"

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "guest/expose.h"
#include "guest/killall.h"
#include "guest/log.h"
#include "guest/spawn.h"

enum {
	PIECE = 32 * 1024,
	CREDIT_WORTH = 32 * 1024, /* smaller credits wait until the input is used up */
	HANGUP_MS = 1000,	  /* between SIGHUP or SIGTERM and SIGKILL */
	TTY_GRACE_MS = 500,	  /* a terminal's last output comes by the kernel's own thread */
	WINDOW_MAX = 1 << 30,
};

/* A command whose words are still coming. */
struct waiting {
	struct bg_exec exec;
	void *memory; /* of exec */
	struct bg_words words;
};

struct session {
	uint32_t id;  /* of the stream; 0: nobody is told any more */
	pid_t leader; /* process, group and session; 0 without waiting: the slot is free */
	struct waiting *waiting; /* NULL: it was started */
	bool reaped;
	bool tty;
	bool in_ended; /* the host's EOF came */
	int status, error;
	int fd[BG_AGENT_SUBS];
	bool ready[BG_AGENT_SUBS];
	uint32_t window[BG_AGENT_SUBS]; /* bytes that may still come (0), or go (1, 2) */
	uint32_t credit;		/* owed to the host */
	uint8_t *in;
	size_t in_at, in_len;
	uint64_t deadline, kill_at, close_at; /* uptime in ms; 0: none */
};

static struct {
	struct conversation *conversation;
	int epoll, signals;
	unsigned turn;
	struct session all[SESSIONS_MAX];
} s;

static struct session *find(uint32_t id)
{
	for (size_t i = 0; id && i < SESSIONS_MAX; i++)
		if (s.all[i].id == id)
			return &s.all[i];
	return NULL;
}

static void close_fd(struct session *x, unsigned sub)
{
	x->fd[sub] = bg_close(x->fd[sub]);
	x->ready[sub] = false;
}

static void free_input(struct session *x)
{
	free(x->in);
	x->in = NULL;
	x->in_at = x->in_len = 0;
}

static void waiting_free(struct waiting *w)
{
	if (!w)
		return;
	bg_words_done(&w->words);
	free(w->memory);
	free(w);
}

/* Nobody is told any more. The slot stays until its processes are gone. */
static void forget(struct session *x)
{
	for (unsigned i = 0; i < BG_AGENT_SUBS; i++)
		close_fd(x, i);
	free_input(x);
	waiting_free(TAKE_PTR(x->waiting));
	x->id = 0;
	x->deadline = x->close_at = 0;
	if (x->reaped && !x->kill_at)
		x->leader = 0;
}

static void end_processes(struct session *x, int sig)
{
	if (!x->leader)
		return;
	killall_session(x->leader, sig);
	x->kill_at = uptime_ms() + HANGUP_MS;
}

static void cancel(struct session *x)
{
	end_processes(x, SIGHUP);
	forget(x);
}

static void finish(struct session *x)
{
	conversation_done(s.conversation, x->id, x->error, x->status);
	forget(x);
}

static void watch(struct session *x)
{
	for (unsigned i = 0; i < BG_AGENT_SUBS; i++) {
		struct epoll_event e = {.events = EPOLLET | (i == BG_AGENT_IN ? EPOLLOUT : EPOLLIN),
			.data.fd = x->fd[i]};

		if (x->fd[i] >= 0)
			(void)epoll_ctl(s.epoll, EPOLL_CTL_ADD, x->fd[i], &e);
		x->ready[i] = x->fd[i] >= 0;
		x->window[i] = BG_AGENT_WINDOW;
	}
}

static int start(struct session *x, uint32_t id, const struct bg_exec *exec)
{
	struct spawned spawned = {.pid = 0};
	int r = spawn(exec, &spawned);

	if (r < 0)
		return r;
	*x = (struct session){.id = id, .leader = spawned.pid};
	memcpy(x->fd, spawned.fd, sizeof(x->fd));
	x->tty = (exec->flags & BG_AGENT_X_TTY) != 0;
	x->deadline = exec->timeout_ms ? BG_MAX(uptime_ms() + exec->timeout_ms, UINT64_C(1)) : 0;
	watch(x);
	return 0;
}

static int wait_words(struct session *x, uint32_t id, const struct bg_exec *exec, void **memory)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->exec = *exec;
	w->memory = TAKE_PTR(*memory);
	*x = (struct session){.id = id, .waiting = w, .fd = {-1, -1, -1}};
	return 0;
}

static int begin(struct session *x, const struct bg_agent_frame *f)
{
	_free_ void *memory = NULL;
	struct bg_exec exec;
	int r = bg_exec_decode(f->payload, f->len, &exec, &memory);

	if (r < 0)
		return r;
	if (exec.kind == BG_AGENT_K_EXPOSE) {
		expose_set(exec.argv);
		conversation_done(s.conversation, f->stream, 0, 0);
		return 0;
	}
	return exec.flags & BG_AGENT_X_WORDS ? wait_words(x, f->stream, &exec, &memory)
					     : start(x, f->stream, &exec);
}

static int start_waiting(struct session *x)
{
	struct waiting *w = x->waiting;
	_free_ void *lists = NULL;
	int r = bg_words_join(&w->words, &w->exec, &lists);

	if (r >= 0)
		r = start(x, x->id, &w->exec);
	if (r >= 0)
		waiting_free(w);
	return r;
}

static void on_words(struct session *x, const struct bg_agent_frame *f)
{
	int r = -EPROTO;

	if (x->waiting && f->len > 0)
		r = bg_words_add(&x->waiting->words, f->sub, f->payload, f->len);
	else if (x->waiting)
		r = start_waiting(x);
	if (r >= 0)
		return;
	x->error = -r;
	end_processes(x, SIGHUP);
	finish(x);
}

static void on_exec(const struct bg_agent_frame *f)
{
	struct session *x = NULL;
	int r;

	if (find(f->stream))
		return;
	for (size_t i = 0; !x && i < SESSIONS_MAX; i++)
		if (s.all[i].leader == 0 && !s.all[i].waiting)
			x = &s.all[i];
	r = x ? begin(x, f) : -EUSERS;
	if (r < 0)
		conversation_done(s.conversation, f->stream, -r, 0);
}

/* More than the window allows is a host that does not keep to the protocol. */
static void on_data(struct session *x, const struct bg_agent_frame *f)
{
	if (f->sub != BG_AGENT_IN || f->len > x->window[0] || x->in_ended || x->waiting) {
		x->error = EPROTO;
		end_processes(x, SIGHUP);
		finish(x);
		return;
	}
	x->window[0] -= f->len;
	if (x->fd[0] < 0 || f->len == 0)
		return; /* the command does not read any more: no credit, so the host stops */
	if (!x->in)
		x->in = malloc(BG_AGENT_WINDOW);
	if (!x->in) {
		close_fd(x, BG_AGENT_IN);
		return;
	}
	if (x->in_at + x->in_len + f->len > BG_AGENT_WINDOW) {
		memmove(x->in, x->in + x->in_at, x->in_len);
		x->in_at = 0;
	}
	memcpy(x->in + x->in_at + x->in_len, f->payload, f->len);
	x->in_len += f->len;
}

static void on_eof(struct session *x, const struct bg_agent_frame *f)
{
	if (f->sub == BG_AGENT_IN)
		x->in_ended = true;
	else if (f->sub < BG_AGENT_SUBS && !x->tty)
		close_fd(x, f->sub);
}

static void on_credit(struct session *x, const struct bg_agent_frame *f)
{
	uint32_t more;

	memcpy(&more, f->payload, sizeof(more));
	more = le32toh(more);
	if (f->sub != BG_AGENT_IN && f->sub < BG_AGENT_SUBS &&
		more <= WINDOW_MAX - x->window[f->sub])
		x->window[f->sub] += more;
}

static void on_resize(const struct session *x, const struct bg_agent_frame *f)
{
	struct bg_agent_resize size;
	struct winsize w = {0};

	memcpy(&size, f->payload, sizeof(size));
	w.ws_row = le16toh(size.rows);
	w.ws_col = le16toh(size.cols);
	if (x->tty && x->fd[BG_AGENT_OUT] >= 0)
		(void)ioctl(x->fd[BG_AGENT_OUT], TIOCSWINSZ, &w);
}

/* To what is in the foreground, as the keys of a terminal would. */
static void on_signal(const struct session *x, const struct bg_agent_frame *f)
{
	pid_t group = x->leader;
	uint32_t sig;

	memcpy(&sig, f->payload, sizeof(sig));
	sig = le32toh(sig);
	/* so that whoever sent it knows that this guest still answers */
	(void)conversation_send(s.conversation, BG_AGENT_SIGNAL, x->id, 0, f->payload, f->len);
	if (x->reaped || !x->leader || sig == 0 || sig >= NSIG)
		return;
	if (x->tty && ioctl(x->fd[BG_AGENT_OUT], TIOCGPGRP, &group) < 0)
		group = x->leader;
	(void)kill(-group, (int)sig);
}

static void on_frame(const struct bg_agent_frame *f, void *userdata)
{
	struct session *x = find(f->stream);

	(void)userdata;
	if (f->type == BG_AGENT_EXEC)
		on_exec(f);
	if (!x)
		return;
	if (f->type == BG_AGENT_DATA)
		on_data(x, f);
	else if (f->type == BG_AGENT_EOF)
		on_eof(x, f);
	else if (f->type == BG_AGENT_CREDIT)
		on_credit(x, f);
	else if (f->type == BG_AGENT_CANCEL)
		cancel(x);
	else if (f->type == BG_AGENT_RESIZE)
		on_resize(x, f);
	else if (f->type == BG_AGENT_SIGNAL)
		on_signal(x, f);
	else if (f->type == BG_AGENT_WORDS)
		on_words(x, f);
}

static void on_drop(void *userdata)
{
	(void)userdata;
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (s.all[i].id)
			cancel(&s.all[i]);
	expose_none();
}

void sessions_init(struct conversation *conversation, int epoll)
{
	static const struct conversation_streams streams = {.frame = on_frame, .drop = on_drop};
	struct epoll_event e = {.events = EPOLLIN};
	sigset_t chld;

	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, NULL);
	s.conversation = conversation;
	s.epoll = epoll;
	s.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	e.data.fd = s.signals;
	if (s.signals < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, s.signals, &e) < 0) {
		log_line("agent: no commands can be run: %s", strerror(errno));
		return;
	}
	conversation->streams = &streams;
}

/* What it wrote is all in the pipes now: they are read until they are empty, not until they end,
 * since a process in the background may hold them for ever. */
static void on_ended(struct session *x, int status)
{
	x->reaped = true;
	x->status = status;
	x->ready[1] = x->fd[1] >= 0;
	x->ready[2] = x->fd[2] >= 0;
	if (x->tty)
		x->close_at = uptime_ms() + TTY_GRACE_MS;
	if (!x->id && !x->kill_at)
		x->leader = 0;
}

static void reap(void)
{
	struct signalfd_siginfo si;
	int status;

	while (read(s.signals, &si, sizeof(si)) > 0)
		;
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (s.all[i].leader && !s.all[i].reaped &&
			waitpid(s.all[i].leader, &status, WNOHANG) == s.all[i].leader)
			on_ended(&s.all[i], status);
}

bool sessions_event(int fd)
{
	if (fd == s.signals) {
		reap();
		return true;
	}
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		for (unsigned sub = 0; s.all[i].id && sub < BG_AGENT_SUBS; sub++)
			if (s.all[i].fd[sub] == fd) {
				s.all[i].ready[sub] = true;
				return true;
			}
	return false;
}

static void give_credit(struct session *x)
{
	const uint32_t more = htole32(x->credit);

	if (x->credit == 0 || (x->credit < CREDIT_WORTH && x->in_len > 0))
		return;
	if (!conversation_send(
		    s.conversation, BG_AGENT_CREDIT, x->id, BG_AGENT_IN, &more, sizeof(more)))
		return;
	x->window[0] += x->credit;
	x->credit = 0;
}

/* The end of a terminal's input is a character. */
static void end_input(struct session *x)
{
	if (x->tty && x->fd[0] >= 0)
		(void)bg_write_all(x->fd[0], "\4", 1);
	close_fd(x, BG_AGENT_IN);
}

static bool move_input(struct session *x)
{
	ssize_t n;

	if (x->in_len == 0 || !x->ready[0]) {
		if (x->in_len == 0 && x->in_ended && x->fd[0] >= 0)
			end_input(x);
		return false;
	}
	n = write(x->fd[0], x->in + x->in_at, x->in_len);
	if (n > 0) {
		x->in_at += (size_t)n;
		x->in_len -= (size_t)n;
		x->credit += (uint32_t)n;
	} else if (n < 0 && errno == EAGAIN) {
		x->ready[0] = false;
	} else if (n < 0 && errno != EINTR) {
		close_fd(x, BG_AGENT_IN);
		free_input(x);
	}
	if (x->in_len == 0)
		x->in_at = 0;
	give_credit(x);
	return n > 0;
}

static void end_output(struct session *x, unsigned sub)
{
	close_fd(x, sub);
	(void)conversation_send(s.conversation, BG_AGENT_EOF, x->id, sub, NULL, 0);
}

static bool move_output(struct session *x, unsigned sub)
{
	size_t room = 0;
	uint8_t *p;
	ssize_t n;

	if (!x->ready[sub] || x->window[sub] == 0)
		return false;
	p = conversation_begin_data(s.conversation, &room);
	if (!p)
		return false;
	room = BG_MIN(BG_MIN(room, (size_t)x->window[sub]), (size_t)PIECE);
	n = read(x->fd[sub], p, room);
	if (n > 0) {
		conversation_end_data(s.conversation, x->id, sub, (size_t)n);
		x->window[sub] -= (uint32_t)n;
		return true;
	}
	if (n < 0 && errno == EINTR)
		return true;
	x->ready[sub] = false;
	if (n == 0 || errno != EAGAIN || (x->reaped && !x->tty))
		end_output(x, sub);
	return false;
}

static void check_times(struct session *x, uint64_t now)
{
	if (x->deadline && now >= x->deadline) {
		x->deadline = 0;
		x->error = ETIMEDOUT;
		end_processes(x, SIGTERM);
	}
	if (x->close_at && now >= x->close_at) {
		x->close_at = 0;
		if (x->fd[BG_AGENT_OUT] >= 0 && x->window[BG_AGENT_OUT])
			end_output(x, BG_AGENT_OUT);
	}
	if (x->kill_at && now >= x->kill_at) {
		x->kill_at = 0;
		killall_session(x->leader, SIGKILL);
		if (!x->id && x->reaped)
			x->leader = 0;
	}
}

static bool pump_one(struct session *x)
{
	bool moved = move_input(x);

	moved |= move_output(x, BG_AGENT_OUT);
	moved |= move_output(x, BG_AGENT_ERR);
	if (x->reaped && x->fd[BG_AGENT_OUT] < 0 && x->fd[BG_AGENT_ERR] < 0)
		finish(x);
	return moved;
}

bool sessions_pump(void)
{
	uint64_t now = uptime_ms();
	bool moved = false;

	s.turn = (s.turn + 1) % SESSIONS_MAX;
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *x = &s.all[(s.turn + i) % SESSIONS_MAX];

		if (!x->leader)
			continue;
		check_times(x, now);
		if (x->id)
			moved |= pump_one(x);
	}
	return moved;
}

static void sooner(int *ms, uint64_t at, uint64_t now)
{
	int left = at > now ? (int)(at - now) : 0;

	if (at && (*ms < 0 || left < *ms))
		*ms = left;
}

int sessions_timeout(void)
{
	uint64_t now = uptime_ms();
	int ms = -1;

	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		const struct session *x = &s.all[i];

		if (!x->leader)
			continue;
		sooner(&ms, x->deadline, now);
		sooner(&ms, x->kill_at, now);
		sooner(&ms, x->close_at, now);
	}
	return ms;
}
