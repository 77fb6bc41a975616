/* SPDX-License-Identifier: ISC */
/*
 * See disk.h. One queue: calls wait in it, are sent in order, and answered in order. An answer out
 * of turn, a silence of ANSWER_USEC or the end of the socket is the end of the helper.
 */
#include "daemon/driver/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/priv/priv_client.h"

enum { ANSWER_USEC = 60 * 1000 * 1000, REPLIES_PER_TURN = 32 };

enum disk_kind { DISK_HELLO, DISK_LIST, DISK_ATTACH, DISK_DETACH, DISK_KNOWN };

struct disk_call {
	struct disk *disk; /* NULL when that is gone */
	TAILQ_ENTRY(disk_call) link;
	bool queued, sent, forgotten;
	enum disk_kind kind;
	unsigned slot;
	uint32_t id;
	int base, overlay;
	struct loop_source *deferred;
	char node[sizeof(BG_DISK_NODE_DIR) + 1 + PRIV_NAME];
	struct bg_err *err;
	disk_done_fn done;
	void *userdata;
};
TAILQ_HEAD(disk_calls, disk_call);

struct disk {
	struct loop *loop;
	struct disk_calls calls; /* those sent, then those that wait */
	int sock;
	char *path;
	uint32_t next_id;
	bool ready;
	uint64_t held;
	struct bg_err *err; /* why nothing works any more */
	bool expected;	    /* a new helper is on its way */
	void (*lost)(void *userdata);
	void *lost_data;
	struct loop_source *io, *deadline;
};

static void leave_queue(struct disk_call *call)
{
	if (call->queued)
		TAILQ_REMOVE(&call->disk->calls, call, link);
	call->queued = false;
}

static void destroy(struct disk_call *call)
{
	leave_queue(call);
	loop_source_free(call->deferred);
	bg_err_free(call->err);
	bg_close(call->base);
	bg_close(call->overlay);
	free(call);
}

static void on_deferred(void *userdata)
{
	struct disk_call *call = userdata;

	call->done(*call->node ? call->node : NULL, call->err, call->userdata);
}

/* err is taken. Its owner hears of it in the next turn of the loop. */
static void finish(struct disk_call *call, struct bg_err *err)
{
	leave_queue(call);
	call->err = err;
	if (err && call->forgotten && call->kind == DISK_DETACH)
		log_err(LOG_WARN, "disk", "a disk stays attached", err);
	if (call->forgotten || !call->done)
		destroy(call);
	else if (loop_defer(call->disk->loop, "disk done", on_deferred, call, &call->deferred) < 0)
		log_msg(LOG_ERROR, "disk", "out of memory: a completion is lost", NULL);
}

static void shut(struct disk *disk)
{
	loop_source_free(disk->io);
	loop_source_free(disk->deadline);
	disk->io = disk->deadline = NULL;
	disk->sock = bg_close(disk->sock);
}

/* err is taken: every call, now and later, ends with it. */
static void die(struct disk *disk, struct bg_err *err)
{
	struct disk_call *call;

	if (disk->err) {
		bg_err_free(err);
		return;
	}
	bg_err_context(&err, "the disk helper");
	disk->err = err;
	disk->ready = false;
	shut(disk);
	while ((call = TAILQ_FIRST(&disk->calls)))
		finish(call, call->kind == DISK_KNOWN ? NULL : bg_err_copy(err));
	if (disk->lost)
		disk->lost(disk->lost_data);
}

static void die_of(struct disk *disk, int errnum, const char *what)
{
	struct bg_err *err = NULL;

	if (access(disk->path, F_OK) < 0 && errno == ENOENT) {
		bg_err_set(&err, BG_ERR_HELPER_MISSING, ENOENT, "%s is not installed", disk->path);
		bg_err_hint(&err, "`sudo scripts/install-helper --disk`");
	} else if (access(disk->path, X_OK) < 0 && errno == EACCES) {
		bg_err_set(&err, BG_ERR_HELPER_NOT_MEMBER, EACCES, "%s may not be run by this user",
			disk->path);
	} else {
		bg_err_set(&err, BG_ERR_HELPER_FAILED, errnum, "%s %s", disk->path, what);
	}
	die(disk, err);
}

static void on_deadline(void *userdata)
{
	die_of(userdata, ETIMEDOUT, "does not answer");
}

static struct disk_call *first_sent(struct disk *disk)
{
	struct disk_call *call = TAILQ_FIRST(&disk->calls);

	return call && call->sent ? call : NULL;
}

/* Runs while an answer is owed, from the last sign of life. */
static int watch_answers(struct disk *disk)
{
	loop_source_free(disk->deadline);
	disk->deadline = NULL;
	if (!first_sent(disk))
		return 0;
	return loop_add_timer(
		disk->loop, "disk deadline", ANSWER_USEC, on_deadline, disk, &disk->deadline);
}

static int encode(const struct disk_call *call, struct priv_msg *ret)
{
	switch (call->kind) {
	case DISK_HELLO:
		return priv_encode_hello(call->id, ret);
	case DISK_LIST:
		return priv_encode_list(call->id, ret);
	case DISK_ATTACH:
		return priv_encode_disk_attach(
			call->id, call->slot, call->base, call->overlay, ret);
	case DISK_DETACH:
		return priv_encode_disk_detach(call->id, call->slot, ret);
	case DISK_KNOWN:
		break;
	}
	return -EINVAL;
}

static int send_call(struct disk *disk, struct disk_call *call)
{
	struct priv_msg msg = {0};
	int r;

	call->id = disk->next_id;
	r = encode(call, &msg);
	if (r >= 0)
		r = priv_msg_send(disk->sock, &msg);
	if (r < 0)
		return r;
	disk->next_id = disk->next_id == UINT32_MAX ? 1 : disk->next_id + 1;
	call->sent = true;
	call->base = bg_close(call->base);
	call->overlay = bg_close(call->overlay);
	return 0;
}

static bool may_send(const struct disk *disk, const struct disk_call *call)
{
	return !call->sent && (disk->ready ? call->kind != DISK_KNOWN
					   : call->kind == DISK_HELLO || call->kind == DISK_LIST);
}

/* Sends what waits, in order. */
static void pump(struct disk *disk)
{
	bool idle = !first_sent(disk);
	struct disk_call *call, *next;
	int r = 0;

	if (disk->err || disk->sock < 0)
		return;
	for (call = TAILQ_FIRST(&disk->calls); call && r >= 0; call = next) {
		next = TAILQ_NEXT(call, link);
		if (may_send(disk, call))
			r = send_call(disk, call);
	}
	/* -EPIPE: it ended; what it said before that is still in the socket. */
	if (r < 0 && r != -EAGAIN && r != -EPIPE) {
		die_of(disk, -r, "cannot be talked to");
		return;
	}
	if (loop_source_set_events(disk->io, r == -EAGAIN ? LOOP_READ | LOOP_WRITE : LOOP_READ) <
			0 ||
		(idle && watch_answers(disk) < 0))
		die_of(disk, ENOMEM, "cannot be watched");
}

static struct disk_call *call_new(struct disk *disk, enum disk_kind kind, unsigned slot)
{
	struct disk_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct disk_call){
		.disk = disk, .kind = kind, .slot = slot, .base = -1, .overlay = -1};
	return call;
}

static void enqueue(struct disk *disk, struct disk_call *call)
{
	/* Our own go before what waits for them. */
	if (call->kind == DISK_HELLO || call->kind == DISK_LIST)
		TAILQ_INSERT_HEAD(&disk->calls, call, link);
	else
		TAILQ_INSERT_TAIL(&disk->calls, call, link);
	call->queued = true;
}

static int enqueue_own(struct disk *disk, enum disk_kind kind)
{
	struct disk_call *call = call_new(disk, kind, 0);

	if (!call)
		return -ENOMEM;
	call->forgotten = true;
	enqueue(disk, call);
	pump(disk);
	return 0;
}

static void set_ready(struct disk *disk)
{
	struct disk_call *call, *next;

	disk->ready = true;
	for (call = TAILQ_FIRST(&disk->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->kind == DISK_KNOWN)
			finish(call, NULL);
	}
	pump(disk);
}

static void on_hello(struct disk *disk, const struct priv_msg *msg)
{
	struct bg_err *err = NULL;
	struct priv_hello hello;

	if (priv_decode_hello(msg, &hello, &err) < 0)
		die(disk, err);
	else if (!(hello.abilities & PRIV_ABILITY_DISK))
		die_of(disk, EPROTO, "is not the disk helper");
	else if (enqueue_own(disk, DISK_LIST) < 0)
		die_of(disk, ENOMEM, "cannot be talked to");
}

static void on_verb(struct disk *disk, struct disk_call *call, const struct priv_msg *msg)
{
	struct bg_err *err = NULL;
	char node[PRIV_NAME];
	bool existed;
	int r;

	if (call->kind == DISK_ATTACH) {
		r = priv_decode_disk_attach(msg, node, &err);
		if (r >= 0)
			(void)snprintf(
				call->node, sizeof(call->node), "%s/%s", BG_DISK_NODE_DIR, node);
	} else {
		r = priv_decode_disk_detach(msg, &existed, &err);
	}
	finish(call, err);
	if (r == -EBADMSG)
		die_of(disk, EBADMSG, "breaks the protocol");
}

static void on_answer(struct disk *disk, struct disk_call *call, const struct priv_msg *msg)
{
	struct bg_err *err = NULL;

	switch (call->kind) {
	case DISK_HELLO:
		finish(call, NULL);
		on_hello(disk, msg);
		break;
	case DISK_LIST:
		finish(call, NULL);
		if (priv_decode_list(msg, &disk->held, &err) < 0)
			die(disk, err);
		else
			set_ready(disk);
		break;
	case DISK_ATTACH:
	case DISK_DETACH:
		on_verb(disk, call, msg);
		break;
	case DISK_KNOWN:
		break;
	}
}

static void on_reply(struct disk *disk, const struct priv_msg *msg)
{
	struct disk_call *call = first_sent(disk);
	struct bg_err *err = NULL;
	struct priv_hello hello;
	uint32_t id;

	if (priv_reply_id(msg, &id) < 0 || (id != 0 && (!call || id != call->id)))
		die_of(disk, EBADMSG, "breaks the protocol");
	else if (id != 0)
		on_answer(disk, call, msg);
	/* Unasked: it says why it could not start. */
	else if (priv_decode_hello(msg, &hello, &err) >= 0)
		die_of(disk, EBADMSG, "breaks the protocol");
	else
		die(disk, err);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct disk *disk = userdata;
	struct priv_msg msg;
	int r = 0;

	for (unsigned i = 0; i < REPLIES_PER_TURN && !disk->err; i++) {
		r = priv_msg_recv(fd, &msg);
		if (r < 0)
			break;
		priv_msg_close(&msg); /* no reply to us carries any */
		on_reply(disk, &msg);
		if (!disk->err && watch_answers(disk) < 0)
			die_of(disk, ENOMEM, "cannot be watched");
	}
	if (disk->err)
		return;
	if (r < 0 && r != -EAGAIN)
		die_of(disk, -r, r == -EPIPE ? "is gone" : "breaks the protocol");
	else if (events & LOOP_WRITE)
		pump(disk);
}

/* A helper that cannot be talked to is not a failure of ours: the error is for those who want a disk.
 */
static void start(struct disk *disk)
{
	int r;

	if (disk->sock < 0) {
		die_of(disk, ENOENT, "could not be started");
		return;
	}
	r = bg_set_nonblock(disk->sock, true);
	if (r >= 0)
		r = loop_add_fd(disk->loop, "disk", disk->sock, LOOP_READ, on_io, disk, &disk->io);
	if (r >= 0)
		r = enqueue_own(disk, DISK_HELLO);
	if (r < 0)
		die_of(disk, -r, "cannot be talked to");
}

int disk_new(struct loop *loop, int sock, const char *path, struct disk **ret, struct bg_err **err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	char *copy = strdup(path);

	if (!disk || !copy) {
		bg_close(sock);
		free(copy);
		free(disk);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*disk = (struct disk){.loop = loop, .sock = sock, .path = copy, .next_id = 1};
	TAILQ_INIT(&disk->calls);
	start(disk);
	*ret = disk;
	return 0;
}

void disk_set_lost(struct disk *disk, void (*lost)(void *userdata), void *userdata)
{
	disk->lost = lost;
	disk->lost_data = userdata;
}

void disk_expect(struct disk *disk)
{
	disk->expected = true;
}

void disk_revive(struct disk *disk, int sock)
{
	bg_err_free(TAKE_PTR(disk->err));
	disk->expected = disk->ready = false;
	disk->held = 0;
	disk->sock = sock;
	start(disk);
}

void disk_free(struct disk *disk)
{
	struct disk_call *call;

	if (!disk)
		return;
	shut(disk);
	while ((call = TAILQ_FIRST(&disk->calls))) {
		leave_queue(call);
		call->disk = NULL;
		if (call->forgotten) /* else its owner frees it */
			destroy(call);
	}
	bg_err_free(disk->err);
	free(disk->path);
	free(disk);
}

bool disk_ready(const struct disk *disk)
{
	return disk->ready;
}

const struct bg_err *disk_error(const struct disk *disk)
{
	return disk->err;
}

uint64_t disk_held(const struct disk *disk)
{
	return disk->held;
}

/* call is taken. */
static int start_call(struct disk *disk, struct disk_call *call, disk_done_fn done, void *userdata,
	struct disk_call **ret)
{
	call->done = done;
	call->userdata = userdata;
	enqueue(disk, call);
	*ret = call;
	if (disk->err && !disk->expected)
		finish(call, call->kind == DISK_KNOWN ? NULL : bg_err_copy(disk->err));
	else if (disk->ready && call->kind == DISK_KNOWN)
		finish(call, NULL);
	else
		pump(disk);
	return 0;
}

static int open_files(
	struct disk_call *call, const char *base, const char *overlay, struct bg_err **err)
{
	call->base = open(base, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (call->base < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open the image %s", base);
	call->overlay = open(overlay, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	if (call->overlay < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open the disk %s", overlay);
	return 0;
}

int disk_attach(struct disk *disk, unsigned slot, const char *base, const char *overlay,
	disk_done_fn done, void *userdata, struct disk_call **ret, struct bg_err **err)
{
	_unref_(disk_call) struct disk_call *call = call_new(disk, DISK_ATTACH, slot);
	int r;

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = open_files(call, base, overlay, err);
	return r < 0 ? r : start_call(disk, TAKE_PTR(call), done, userdata, ret);
}

int disk_detach(struct disk *disk, unsigned slot, disk_done_fn done, void *userdata,
	struct disk_call **ret, struct bg_err **err)
{
	struct disk_call *call = call_new(disk, DISK_DETACH, slot);

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return start_call(disk, call, done, userdata, ret);
}

int disk_when_known(struct disk *disk, disk_done_fn done, void *userdata, struct disk_call **ret,
	struct bg_err **err)
{
	struct disk_call *call = call_new(disk, DISK_KNOWN, 0);

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return start_call(disk, call, done, userdata, ret);
}

void disk_call_free(struct disk_call *call)
{
	if (!call)
		return;
	/* What was asked of the helper is carried out, so that its answer has to find the call. */
	if (call->queued && call->kind != DISK_KNOWN)
		call->forgotten = true;
	else
		destroy(call);
}
