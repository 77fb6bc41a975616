/* SPDX-License-Identifier: ISC */
/* See client.h: the store process as the engine's child, and the socket to it. */
#include "daemon/store/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "common/proc.h"

enum { OPEN_MS = 120000, CLOSE_MS = 30000, BUFFER = 1024 * 1024 };
#define AGAIN_USEC 5000000ULL
#define HUNG_USEC  20000000ULL

static void close_others(int sock)
{
	int keep[] = {
		STDERR_FILENO, BG_MIN(sock, log_descriptor()), BG_MAX(sock, log_descriptor())};

	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		unsigned from = (unsigned)BG_MAX(keep[i], STDERR_FILENO) + 1;
		bool last = i + 1 == ARRAY_SIZE(keep);

		if (last)
			(void)close_range(from, ~0U, 0);
		else if (keep[i + 1] > (int)from)
			(void)close_range(from, (unsigned)keep[i + 1] - 1, 0);
	}
}

/* A copy of the engine, and not a program of its own: what it needs is in memory, and the seal is the engine's. */
static int start(struct store *store, struct bg_err **err)
{
	int pair[2], size = BUFFER;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "a socket pair for the store");
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pid = fork();
	if (pid == 0) {
		close_others(pair[1]);
		if (store->on_child)
			store->on_child();
		store_process(pair[1], store->dir);
	}
	bg_close(pair[1]);
	store->sock = pair[0];
	if (pid < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "start the store process");
	store->pid = pid;
	store->pidfd = pidfd_open(pid, 0);
	(void)bg_set_nonblock(store->sock, true);
	return store->pidfd < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, errno, "watch the store process")
				: 0;
}

static void forget(struct store *store)
{
	loop_source_free(TAKE_PTR(store->read));
	loop_source_free(TAKE_PTR(store->write));
	loop_source_free(TAKE_PTR(store->exit));
	store->sock = bg_close(store->sock);
	store->pidfd = bg_close(store->pidfd);
	store->pid = 0;
	store->open = false;
}

/*
 * One of its messages is lost, for want of memory most likely: whoever waits for it would wait for ever. What it has not
 * answered is sent again to the next one, and what it has written already is only written again.
 */
static void replace(struct store *store, int r)
{
	_err_ struct bg_err *err = NULL;

	bg_err_sys(&err, BG_ERR_INTERNAL, -r, "a message of the store process is lost");
	log_err(LOG_ERROR, "store", "the process is replaced", err);
	(void)pidfd_send_signal(store->pidfd, SIGKILL, NULL, 0);
}

/* Who waits for a disk cannot be killed, and goes on when that answers. Any other has stopped, or turns in circles. */
static void on_silence(void *userdata)
{
	struct store *store = userdata;
	bool late = store->asked_usec && loop_now_usec() - store->asked_usec >= HUNG_USEC;

	loop_source_free(TAKE_PTR(store->silence));
	if (late && store->pid > 0 && bg_proc_state(store->pid) != 'D') {
		log_msg(LOG_ERROR, "store",
			"the store process does not answer: killed, another is started", NULL);
		(void)pidfd_send_signal(store->pidfd, SIGKILL, NULL, 0);
	}
	link_watch_silence(store);
}

void link_watch_silence(struct store *store)
{
	if (!store->asked_usec)
		loop_source_free(TAKE_PTR(store->silence));
	else if (!store->silence)
		(void)loop_add_timer(store->loop, "store silence", HUNG_USEC, on_silence, store,
			&store->silence);
}

static void take_rows(struct store *store, const json_t *body)
{
	_err_ struct bg_err *err = NULL;
	int r = store_on_rows(store, body);

	if (r != -ENOMEM)
		return;
	bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	store_on_broken(store, err); /* better no start than one without it */
}

static void take(struct store *store, const struct store_head *head, json_t *body)
{
	_err_ struct bg_err *err = NULL;

	switch ((enum store_verb)head->verb) {
	case STORE_OPENED:
		store->open = true;
		store_on_opened(store, body);
		break;
	case STORE_DONE:
		if (json_is_object(body))
			store_on_done(store, head->seq, body);
		else
			replace(store, -EBADMSG);
		break;
	case STORE_FAILED:
		(void)bg_err_from_json(body, &err);
		store_on_broken(store, err);
		break;
	case STORE_ROWS:
		take_rows(store, body);
		break;
	case STORE_NONE:
	case STORE_COMMIT:
		log_msg(LOG_ERROR, "store", "a message that only goes the other way", NULL);
		break;
	}
}

static void on_read(int fd, unsigned events, void *userdata)
{
	struct store *store = userdata;
	int r = 0;

	(void)events;
	while (r >= 0) {
		struct store_head head;
		_json_ json_t *body = NULL;

		r = store_recv(fd, &head, &body);
		if (r >= 0)
			take(store, &head, body);
	}
	if (r == -EAGAIN)
		return;
	loop_source_free(TAKE_PTR(store->read)); /* its exit follows */
	if (r != -EPIPE)
		replace(store, r);
}

static void restart(struct store *store);

static void on_again(void *userdata)
{
	struct store *store = userdata;

	loop_source_free(TAKE_PTR(store->again));
	restart(store);
}

static void try_later(struct store *store)
{
	if (!store->again)
		(void)loop_add_timer(
			store->loop, "store", AGAIN_USEC, on_again, store, &store->again);
}

static void on_exit_of(pid_t pid, int status, void *userdata)
{
	struct store *store = userdata;
	bool was_open = store->open;

	(void)pid;
	(void)status;
	if (store->read)
		on_read(store->sock, LOOP_READ, store); /* its last words */
	forget(store);
	log_msg(LOG_ERROR, "store", "the store process ended: it is started again", NULL);
	if (was_open)
		restart(store);
	else
		try_later(store);
}

static int watch(struct store *store)
{
	int r = loop_add_exit(
		store->loop, "store", store->pid, store->pidfd, on_exit_of, store, &store->exit);

	if (r >= 0)
		r = loop_add_fd(
			store->loop, "store", store->sock, LOOP_READ, on_read, store, &store->read);
	return r;
}

static void restart(struct store *store)
{
	_err_ struct bg_err *err = NULL;

	store_on_restart(store);
	if (start(store, &err) >= 0 && watch(store) >= 0)
		return;
	if (err)
		store_on_broken(store, err);
	forget(store);
	try_later(store);
}

/* Until it has read everything; the engine serves nobody yet. */
static int wait_open(struct store *store, struct bg_err **err)
{
	uint64_t end = loop_now_usec() + OPEN_MS * 1000ULL;
	struct pollfd pfd = {.fd = store->sock, .events = POLLIN};

	while (!store->open && !store->err) {
		uint64_t now = loop_now_usec();
		struct store_head head;
		_json_ json_t *body = NULL;
		int r = store_recv(store->sock, &head, &body);

		if (r == -EAGAIN && now >= end)
			return bg_err_set(err, BG_ERR_STATE, ETIMEDOUT,
				"the store in %s could not be opened within %d s", store->dir,
				OPEN_MS / 1000);
		if (r == -EAGAIN)
			(void)poll(&pfd, 1, (int)((end - now) / 1000) + 1);
		if (r >= 0)
			take(store, &head, body);
		else if (r != -EAGAIN)
			return bg_err_set(err, BG_ERR_STATE, -r,
				"the store process ended while it opened %s", store->dir);
	}
	if (store->err) {
		*err = bg_err_copy(store->err);
		return store->err->errnum ? -store->err->errnum : -EIO;
	}
	return 0;
}

int link_open(struct store *store, struct bg_err **err)
{
	int r = start(store, err);

	if (r >= 0)
		r = wait_open(store, err);
	if (r < 0)
		return r;
	r = watch(store);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the store process") : 0;
}

void link_close(struct store *store)
{
	struct pollfd pfd = {.fd = store->pidfd, .events = POLLIN};

	loop_source_free(TAKE_PTR(store->again));
	loop_source_free(TAKE_PTR(store->silence));
	if (store->pid <= 0)
		return;
	(void)shutdown(store->sock, SHUT_WR);
	if (poll(&pfd, 1, CLOSE_MS) > 0)
		(void)waitpid(store->pid, NULL, 0);
	else
		log_msg(LOG_ERROR, "store", "the store process does not end", NULL);
	forget(store);
}

static void on_writable(int fd, unsigned events, void *userdata)
{
	struct store *store = userdata;

	(void)fd;
	(void)events;
	loop_source_free(TAKE_PTR(store->write));
	store_flush(store);
}

int link_send(struct store *store, const struct store_head *head, const json_t *body)
{
	int r = store->open ? store_send(store->sock, head, body) : -ENOTCONN;

	if (r == -EAGAIN && !store->write &&
		loop_add_fd(store->loop, "store", store->sock, LOOP_WRITE, on_writable, store,
			&store->write) < 0)
		return -ENOMEM;
	return r;
}
