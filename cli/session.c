/* SPDX-License-Identifier: ISC */
/*
 * See session.h. One poll() over the connection, the input, the outputs that have something to take
 * and the signals. Outputs are written in pieces that a ready descriptor takes without blocking, so
 * that a slow reader of one of them stops that stream alone.
 */
#include "cli/session.h"

#include <endian.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli/pulse.h"
#include "cli/rawtty.h"
#include "cli/vm_await.h"
#include "common/agent_frame.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/http_parse.h"
#include "common/json.h"

enum {
	STREAM = 1,
	PIECE = 32 * 1024,
	PIPE_PIECE = 4096, /* PIPE_BUF: what poll() promises of a pipe */
	LATE_MS = 10000,   /* how long after its timeout a guest may stay silent */
	LEAVE_MS = 5000,   /* the same after a signal was sent to it */
	/* bytes of command and environment that go in the request itself */
	JSON_WORDS_MAX = 32 * 1024,
};

/* One output: what came and is not written yet. */
struct sink {
	int fd; /* -1: dropped */
	bool file;
	struct bg_buf buf;
	size_t written; /* of buf */
	uint32_t credit;
};

struct run {
	const struct session *session;
	struct bg_http *http;
	struct pulse pulse;
	int conn, signals;
	bool in_open;
	uint32_t window; /* bytes of input that may be sent */
	struct sink sinks[BG_AGENT_SUBS];
	bool mute; /* the daemon takes nothing more */
	bool done, interrupted;
	int error, status;
	uint64_t deadline_ms;
	uint64_t leave_ms;	/* by then the guest has to confirm a signal; 0: none is open */
	struct bg_buf *collect; /* NULL: output goes to its descriptor */
	size_t collect_max;
	struct bg_agent_reader reader; /* last: large */
};

static json_t *string_list(const char *const *list)
{
	json_t *array = json_array();

	for (; list && *list; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

/* Adds up the bytes; false: JSON cannot carry them, it is UTF-8 only. */
static bool measure(const char *const *list, size_t *bytes)
{
	for (; list && *list; list++) {
		_json_ json_t *text = json_string(*list);

		if (!text)
			return false;
		*bytes += strlen(*list) + 1;
	}
	return true;
}

/* Long ones, and bytes of any kind, go in frames of their own behind the request. */
static bool sends_words(const struct session *s)
{
	size_t bytes = 0;

	return !measure(s->argv, &bytes) || !measure(s->env, &bytes) || bytes > JSON_WORDS_MAX;
}

static void make_body(const struct session *s, bool words, json_t *body)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};

	if (words) {
		json_object_set_new(body, "words", json_true());
	} else {
		json_object_set_new(body, "argv", string_list(s->argv));
		json_object_set_new(body, "env", string_list(s->env));
	}
	if (s->kind)
		json_object_set_new(body, "kind", json_string(s->kind));
	if (s->user)
		json_object_set_new(body, "user", bg_json_str(s->user));
	if (s->workdir)
		json_object_set_new(body, "workdir", bg_json_str(s->workdir));
	if (s->timeout_s)
		json_object_set_new(
			body, "timeout_ms", json_integer((json_int_t)s->timeout_s * 1000));
	if (s->tty) {
		(void)rawtty_size(s->in, &size);
		json_object_set_new(body, "tty", json_true());
		json_object_set_new(body, "rows", json_integer(size.ws_row));
		json_object_set_new(body, "cols", json_integer(size.ws_col));
	}
}

static int lost(const struct run *run, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_EXEC_LOST, ECONNRESET,
		"the session in %s was lost before the command ended", run->session->vm);

	bg_err_hint(err, "see what became of it: `banger vm show %s`", run->session->vm);
	return r;
}

/* The daemon takes what we send while the guest does. Once we are told to end, or it does not live, not for ever. */
static bool wait_writable(struct run *run)
{
	struct pollfd p[] = {{run->conn, POLLOUT, 0}, {run->signals, POLLIN, 0}, {-1, POLLIN, 0}};

	for (;;) {
		p[2].fd = pulse_fd(&run->pulse);
		if (poll(p, ARRAY_SIZE(p), pulse_wait_ms(&run->pulse)) > 0 &&
			(p[0].revents || p[1].revents))
			break;
		if (pulse_turn(&run->pulse, NULL) < 0)
			return false; /* the next turn says why */
	}
	return p[0].revents || poll(p, 1, LEAVE_MS) > 0;
}

static bool send_all(struct run *run, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(run->conn, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && wait_writable(run))
			continue;
		if (n < 0 && errno != EINTR)
			return false;
		p += BG_MAX(n, (ssize_t)0);
		len -= (size_t)BG_MAX(n, (ssize_t)0);
	}
	return true;
}

/*
 * Blocks until the daemon took it. A daemon that has closed may have said the end before: what it
 * sent is read first.
 */
static void send_frame(
	struct run *run, enum bg_agent_type type, unsigned sub, const void *p, size_t len)
{
	uint8_t buf[sizeof(struct bg_agent_head) + PIECE];
	struct bg_agent_head head;

	bg_agent_head_init(&head, type, STREAM, (uint16_t)sub, len);
	memcpy(buf, &head, sizeof(head));
	if (len > 0)
		memcpy(buf + sizeof(head), p, len);
	if (!run->mute && !send_all(run, buf, sizeof(head) + len))
		run->mute = true;
}

static void send_number(struct run *run, enum bg_agent_type type, unsigned sub, uint32_t value)
{
	value = htole32(value);
	send_frame(run, type, sub, &value, sizeof(value));
}

static void send_list(struct run *run, enum bg_agent_words list, const char *const *words)
{
	for (; words && *words; words++) {
		size_t len = strlen(*words) + 1;

		for (size_t at = 0; at < len; at += PIECE)
			send_frame(run, BG_AGENT_WORDS, list, *words + at,
				BG_MIN(len - at, (size_t)PIECE));
	}
}

static void take_input(struct run *run)
{
	uint8_t buf[PIECE];
	ssize_t n = read(run->session->in, buf, BG_MIN((size_t)run->window, sizeof(buf)));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		run->window -= (uint32_t)n;
		send_frame(run, BG_AGENT_DATA, BG_AGENT_IN, buf, (size_t)n);
		return;
	}
	run->in_open = false;
	send_frame(run, BG_AGENT_EOF, BG_AGENT_IN, NULL, 0);
}

static size_t pending(const struct sink *sink)
{
	return sink->buf.len - sink->written;
}

static void give_credit(struct run *run, unsigned sub)
{
	struct sink *sink = &run->sinks[sub];
	uint32_t credit = sink->credit;

	if (credit == 0 || run->done || (credit < PIECE && pending(sink) > 0))
		return;
	sink->credit = 0;
	send_number(run, BG_AGENT_CREDIT, sub, credit);
}

/* Of a collected output: what came is kept, up to the bound. */
static int collect(struct run *run, const struct bg_agent_frame *f, struct bg_err **err)
{
	struct bg_buf *text = run->collect;
	size_t len = BG_MIN((size_t)f->len, run->collect_max - text->len);

	if (bg_buf_append(text, f->payload, len) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

/* Nobody reads what we write: the command is told the same way, by a closed pipe. */
static void sink_broken(struct run *run, unsigned sub)
{
	struct sink *sink = &run->sinks[sub];

	sink->fd = -1;
	sink->buf.len = sink->written = 0;
	if (!run->done)
		send_frame(run, BG_AGENT_EOF, sub, NULL, 0);
}

static int write_sink(struct run *run, unsigned sub, struct bg_err **err)
{
	struct sink *sink = &run->sinks[sub];
	size_t len = sink->file ? pending(sink) : BG_MIN(pending(sink), (size_t)PIPE_PIECE);
	ssize_t n;

	n = write(sink->fd, sink->buf.data + sink->written, len);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && errno == EPIPE) {
		sink_broken(run, sub);
		return 0;
	}
	if (n < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write the output");
	sink->written += (size_t)n;
	sink->credit += (uint32_t)n;
	if (pending(sink) == 0)
		sink->buf.len = sink->written = 0;
	give_credit(run, sub);
	return 0;
}

static int on_data(struct run *run, const struct bg_agent_frame *f, struct bg_err **err)
{
	struct sink *sink = &run->sinks[f->sub];

	if (sink->fd < 0) {
		sink->credit += f->len;
		give_credit(run, f->sub);
		return run->collect && f->sub == BG_AGENT_OUT ? collect(run, f, err) : 0;
	}
	bg_buf_drop(&sink->buf, sink->written);
	sink->written = 0;
	if (bg_buf_append(&sink->buf, f->payload, f->len) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

static int on_frame(struct run *run, const struct bg_agent_frame *f, struct bg_err **err)
{
	struct bg_agent_done done;
	uint32_t more;

	if (f->type == BG_AGENT_DATA && f->sub != BG_AGENT_IN && f->sub < BG_AGENT_SUBS)
		return on_data(run, f, err);
	if (f->type == BG_AGENT_CREDIT) {
		memcpy(&more, f->payload, sizeof(more));
		run->window = (uint32_t)BG_MIN(
			(uint64_t)run->window + le32toh(more), (uint64_t)BG_AGENT_WINDOW);
	}
	if (f->type == BG_AGENT_SIGNAL)
		run->leave_ms = 0;
	if (f->type == BG_AGENT_DONE) {
		memcpy(&done, f->payload, sizeof(done));
		run->error = (int)le32toh((uint32_t)done.error);
		run->status = (int)le32toh((uint32_t)done.status);
		run->done = true;
	}
	return 0;
}

static int take_frames(struct run *run, struct bg_err **err)
{
	struct bg_agent_frame frame;
	const char *data;
	const uint8_t *p;
	size_t len;
	int r, got;

	bg_http_take_raw(run->http, &data, &len);
	p = (const uint8_t *)data;
	while ((got = bg_agent_next(&run->reader, &p, &len, &frame)) > 0) {
		r = on_frame(run, &frame, err);
		if (r < 0)
			return r;
	}
	return got < 0 ? lost(run, err) : 0;
}

static int take_connection(struct run *run, struct bg_err **err)
{
	int r = bg_http_pump(run->http, NULL);

	pulse_heard(&run->pulse);
	if (r < 0)
		return lost(run, err);
	r = take_frames(run, err);
	return r >= 0 && !run->done && bg_http_ended(run->http) ? lost(run, err) : r;
}

static void send_size(struct run *run)
{
	struct bg_agent_resize resize;
	struct winsize size;

	if (!run->session->tty || !rawtty_size(run->session->in, &size))
		return;
	resize = (struct bg_agent_resize){
		.rows = htole16(size.ws_row), .cols = htole16(size.ws_col)};
	send_frame(run, BG_AGENT_RESIZE, 0, &resize, sizeof(resize));
}

static int leave(const struct run *run, struct bg_err **err)
{
	int r = bg_err_set(
		err, BG_ERR_CANCELLED, EINTR, "interrupted: %s does not answer", run->session->vm);

	bg_err_hint(err, "see what it does: `banger vm show %s`", run->session->vm);
	return r;
}

static int take_signal(struct run *run, struct bg_err **err)
{
	struct signalfd_siginfo si;
	int r;

	if (read(run->signals, &si, sizeof(si)) != sizeof(si))
		return 0;
	if (si.ssi_signo == SIGWINCH) {
		send_size(run);
		return 0;
	}
	if (si.ssi_signo == SIGINT && run->interrupted) {
		r = bg_err_set(err, BG_ERR_CANCELLED, EINTR, "interrupted");
		bg_err_hint(err, "what ran in %s was ended", run->session->vm);
		return r;
	}
	run->interrupted |= si.ssi_signo == SIGINT;
	if (run->done) /* nobody takes its output */
		return bg_err_set(err, BG_ERR_CANCELLED, EINTR, "interrupted");
	send_number(run, BG_AGENT_SIGNAL, 0, si.ssi_signo);
	if (!run->leave_ms)
		run->leave_ms = bg_now_ms() + LEAVE_MS;
	return run->mute ? leave(run, err) : 0;
}

enum { WAIT_CONN, WAIT_SIGNALS, WAIT_IN, WAIT_OUT, WAIT_ERR, WAIT_PULSE, WAIT_N };

static void fill_poll(const struct run *run, struct pollfd *p)
{
	bool in = run->in_open && run->window > 0 && !run->done;

	p[WAIT_CONN] = (struct pollfd){run->done ? -1 : run->conn, POLLIN, 0};
	p[WAIT_SIGNALS] = (struct pollfd){run->signals, POLLIN, 0};
	p[WAIT_PULSE] = (struct pollfd){run->done ? -1 : pulse_fd(&run->pulse), POLLIN, 0};
	p[WAIT_IN] = (struct pollfd){in ? run->session->in : -1, POLLIN, 0};
	for (unsigned sub = 1; sub < BG_AGENT_SUBS; sub++) {
		const struct sink *sink = &run->sinks[sub];

		p[WAIT_IN + sub] = (struct pollfd){pending(sink) ? sink->fd : -1, POLLOUT, 0};
	}
}

/* The guest ends a command at its timeout; this is for one that is silent itself. */
static int wait_ms(const struct run *run)
{
	uint64_t now = bg_now_ms(), at = run->deadline_ms ? run->deadline_ms : run->leave_ms;

	if (!at || run->done)
		return -1;
	if (run->leave_ms)
		at = BG_MIN(at, run->leave_ms);
	return at > now ? (int)BG_MIN(at - now, 3600000u) : 0;
}

/* Nor does a daemon that does not answer keep us; what is done needs none. */
static int poll_ms(const struct run *run)
{
	int ms = wait_ms(run), pulse = run->done ? -1 : pulse_wait_ms(&run->pulse);

	return ms < 0 ? pulse : pulse < 0 ? ms : BG_MIN(ms, pulse);
}

static int too_late(struct run *run, struct bg_err **err)
{
	if (run->leave_ms && run->leave_ms <= bg_now_ms())
		return leave(run, err);
	run->error = ETIMEDOUT;
	run->done = true;
	return 0;
}

static int one_turn(struct run *run, struct bg_err **err)
{
	struct pollfd p[WAIT_N];
	int r = 0, n;

	fill_poll(run, p);
	n = poll(p, WAIT_N, poll_ms(run));
	if (n < 0 && errno != EINTR)
		return bg_err_sys(err, BG_ERR_IO, errno, "wait for the session");
	if (n == 0 && wait_ms(run) == 0)
		return too_late(run, err);
	if (n >= 0 && p[WAIT_CONN].revents)
		r = take_connection(run, err);
	else if (!run->done)
		r = pulse_turn(&run->pulse, err);
	if (n <= 0)
		return r;
	if (r >= 0 && p[WAIT_SIGNALS].revents)
		r = take_signal(run, err);
	if (r >= 0 && p[WAIT_IN].revents && !run->done)
		take_input(run);
	for (unsigned sub = 1; r >= 0 && sub < BG_AGENT_SUBS; sub++)
		if (p[WAIT_IN + sub].revents)
			r = write_sink(run, sub, err);
	return r;
}

static bool over(const struct run *run)
{
	return run->done && pending(&run->sinks[BG_AGENT_OUT]) == 0 &&
	       pending(&run->sinks[BG_AGENT_ERR]) == 0;
}

static int outcome(const struct run *run, int *ret_status, struct bg_err **err)
{
	const char *vm = run->session->vm;
	int r;

	if (run->error == ETIMEDOUT)
		return bg_err_set(err, BG_ERR_EXEC_TIMEOUT, ETIMEDOUT,
			"the command in %s did not end within %u s", vm, run->session->timeout_s);
	if (run->error == ENOSYS) {
		r = bg_err_set(err, BG_ERR_AGENT, ENOSYS,
			"the agent in %s is of an older banger and cannot do this", vm);
		bg_err_hint(err, "a restart brings the present one: `banger vm restart %s`", vm);
		return r;
	}
	if (run->error == EUSERS)
		return bg_err_set(err, BG_ERR_AGENT, EUSERS,
			"%s has as many sessions as it can: end one, then try again", vm);
	if (run->error == ECONNRESET)
		return lost(run, err);
	if (run->error)
		return bg_err_sys(err, BG_ERR_AGENT, run->error, "run the command in %s", vm);
	*ret_status =
		WIFSIGNALED(run->status) ? 128 + WTERMSIG(run->status) : WEXITSTATUS(run->status);
	return 0;
}

static int relay(struct run *run, int *ret_status, struct bg_err **err)
{
	int r = take_frames(run, err);

	if (!run->in_open)
		send_frame(run, BG_AGENT_EOF, BG_AGENT_IN, NULL, 0);
	while (r >= 0 && !over(run))
		r = one_turn(run, err);
	return r < 0 ? r : outcome(run, ret_status, err);
}

static bool is_file(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode);
}

static int upgrade(struct cli *cli, struct run *run, struct bg_err **err)
{
	bool words = sends_words(run->session);
	_json_ json_t *body = json_object();
	int r;

	make_body(run->session, words, body);
	r = client_upgrade(cli, ROUTE_VM_EXEC, run->session->vm, body, &run->http, err);
	if (r < 0)
		return r;
	run->conn = bg_http_fd(run->http);
	if (words) {
		send_list(run, BG_AGENT_W_ARGV, run->session->argv);
		send_list(run, BG_AGENT_W_ENV, run->session->env);
		send_frame(run, BG_AGENT_WORDS, BG_AGENT_W_ARGV, NULL, 0);
	}
	return 0;
}

static int run_with_signals(
	struct cli *cli, struct run *run, const sigset_t *set, int *ret_status, struct bg_err **err)
{
	_close_ int signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct rawtty raw = {.fd = -1};
	int r;

	run->signals = signals;
	r = upgrade(cli, run, err);
	if (r < 0)
		return r;
	if (run->session->tty)
		rawtty_enter(&raw, run->session->in);
	r = relay(run, ret_status, err);
	rawtty_leave(&raw);
	return r;
}

static void run_init(struct run *run, struct cli *cli, const struct session *session)
{
	const int fds[BG_AGENT_SUBS] = {-1, session->out, session->err};

	memset(run, 0, offsetof(struct run, reader));
	pulse_init(&run->pulse, cli);
	run->session = session;
	run->window = BG_AGENT_WINDOW;
	run->in_open = session->in >= 0;
	for (unsigned i = 1; i < BG_AGENT_SUBS; i++)
		run->sinks[i] =
			(struct sink){.fd = fds[i], .file = is_file(fds[i]) || session->out_blocks};
	if (session->timeout_s)
		run->deadline_ms = bg_now_ms() + (uint64_t)session->timeout_s * 1000 + LATE_MS;
	bg_agent_reader_plain(&run->reader, BG_AGENT_END_HOST);
}

static int run_and_free(struct cli *cli, struct run *run, int *ret_status, struct bg_err **err)
{
	static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_pipe;
	sigset_t set, old;
	int r;

	(void)sigemptyset(&set);
	for (size_t i = 0; run->session->signals && i < ARRAY_SIZE(passed); i++)
		(void)sigaddset(&set, passed[i]);
	if (run->session->tty)
		(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	(void)sigaction(SIGPIPE, &ignore, &old_pipe);
	r = run_with_signals(cli, run, &set, ret_status, err);
	(void)sigaction(SIGPIPE, &old_pipe, NULL);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	bg_http_free(run->http);
	pulse_done(&run->pulse);
	for (unsigned i = 1; i < BG_AGENT_SUBS; i++)
		bg_buf_done(&run->sinks[i].buf);
	return r;
}

static int try_session(
	struct cli *cli, const struct session *session, int *ret_status, struct bg_err **err)
{
	_free_ struct run *run = malloc(sizeof(*run));

	if (!run)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	run_init(run, cli, session);
	return run_and_free(cli, run, ret_status, err);
}

int session_run(
	struct cli *cli, const struct session *session, int *ret_status, struct bg_err **err)
{
	int r = try_session(cli, session, ret_status, err);

	return r < 0 && vm_await(cli, session->vm, VM_AWAIT_AGENT, err)
		       ? try_session(cli, session, ret_status, err)
		       : r;
}

int session_text(struct cli *cli, const struct session *session, size_t max, int *ret_status,
	char **ret, struct bg_err **err)
{
	struct session mine = *session;
	_free_ struct run *run = malloc(sizeof(*run));
	struct bg_buf text = {0};
	int r;

	if (!run)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	mine.in = mine.out = mine.err = -1;
	run_init(run, cli, &mine);
	run->collect = &text;
	run->collect_max = max;
	r = run_and_free(cli, run, ret_status, err);
	if (r >= 0 && bg_buf_append(&text, "", 1) < 0)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0)
		*ret = TAKE_PTR(text.data);
	bg_buf_done(&text);
	return r;
}
