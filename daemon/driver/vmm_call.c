/* SPDX-License-Identifier: ISC */
/*
 * One request to a VMM's control socket: connect, talk as the driver's vmm_dialog says, one
 * completion, one deadline. Called by the drivers only. It owns its connection and copies of all it
 * needs, so the struct vmm may go while it runs.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/driver/vmm_impl.h"

struct vmm_call {
	struct loop *loop;
	const struct vmm_dialog *dialog;
	char *path;
	char *request;
	bool requested;
	int fd;
	int failure; /* errno of a deferred one */
	int give;    /* goes out with the first bytes; -1: nothing */
	struct loop_source *io;
	struct loop_source *deadline;
	struct loop_source *retry; /* connecting again; or the deferred success */
	char *out;
	size_t out_len;
	char *in;
	size_t in_len;
	vmm_done_fn done;
	void *userdata;
};

/* Ends all activity; the object stays until its owner frees it. */
static void quiet(struct vmm_call *call)
{
	loop_source_free(call->io);
	loop_source_free(call->deadline);
	loop_source_free(call->retry);
	call->io = call->deadline = call->retry = NULL;
	call->fd = bg_close(call->fd);
	call->give = bg_close(call->give);
}

static void finish(struct vmm_call *call, const struct bg_err *err)
{
	quiet(call);
	call->done(err, call->userdata);
}

static void fail(struct vmm_call *call, int errnum, const char *what)
{
	_err_ struct bg_err *err = NULL;

	bg_err_sys(&err, BG_ERR_VMM_FAILED, errnum, "%s %s", what, call->path);
	finish(call, err);
}

static int queue_text(struct vmm_call *call, const char *text)
{
	size_t n = strlen(text);
	char *p = realloc(call->out, call->out_len + n + 1);

	if (!p)
		return -ENOMEM;
	memcpy(p + call->out_len, text, n + 1);
	call->out = p;
	call->out_len += n;
	return loop_source_set_events(call->io, LOOP_READ | LOOP_WRITE);
}

int vmm_call_send_request(struct vmm_call *call)
{
	if (call->requested)
		return 0;
	call->requested = true;
	return queue_text(call, call->request);
}

static ssize_t send_with(const struct vmm_call *call, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS,
			     .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {.iov_base = call->out, .iov_len = call->out_len};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room)};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(call->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int flush_out(struct vmm_call *call)
{
	ssize_t n = call->give >= 0
			    ? send_with(call, call->give)
			    : send(call->fd, call->out, call->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	call->give = bg_close(call->give);
	call->out_len -= (size_t)n;
	memmove(call->out, call->out + n, call->out_len);
	if (call->out_len == 0)
		return loop_source_set_events(call->io, LOOP_READ);
	return 0;
}

/* Bytes that came, 0 at the end of the stream, -EAGAIN for none now. */
static ssize_t fill_in(struct vmm_call *call)
{
	ssize_t n;

	if (!call->in)
		call->in = malloc(VMM_CALL_INPUT_MAX);
	if (!call->in)
		return -ENOMEM;
	if (call->in_len == VMM_CALL_INPUT_MAX)
		return -EMSGSIZE;
	n = recv(
		call->fd, call->in + call->in_len, VMM_CALL_INPUT_MAX - call->in_len, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	call->in_len += (size_t)n;
	return n;
}

static void on_input(struct vmm_call *call)
{
	_err_ struct bg_err *err = NULL;
	size_t consumed = 0;
	ssize_t n = fill_in(call);
	int r;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		fail(call, n < 0 ? (int)-n : ECONNRESET, "read from");
		return;
	}
	r = call->dialog->answer(call, call->in, call->in_len, &consumed, &err);
	if (r != 0) {
		assert(r == 1 || err);
		finish(call, err);
		return;
	}
	assert(consumed <= call->in_len);
	call->in_len -= consumed;
	memmove(call->in, call->in + consumed, call->in_len);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct vmm_call *call = userdata;

	if (events & LOOP_WRITE) {
		int r = flush_out(call);

		if (r < 0) {
			fail(call, -r, "write to");
			return;
		}
	}
	if (events & LOOP_READ)
		on_input(call);
}

static void on_deadline(void *userdata)
{
	fail(userdata, ETIMEDOUT, "wait for an answer at");
}

static int connect_socket(struct vmm_call *call)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, call->path, strlen(call->path) + 1);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		bg_close(fd);
		return -errno;
	}
	call->fd = fd;
	return 0;
}

static int begin_dialog(struct vmm_call *call)
{
	int r = loop_add_fd(call->loop, "vmm control", call->fd, LOOP_READ, on_io, call, &call->io);

	return r >= 0 && call->dialog->speaks_first ? vmm_call_send_request(call) : r;
}

static void on_connect(void *userdata)
{
	struct vmm_call *call = userdata;
	int r = connect_socket(call);

	loop_source_free(call->retry);
	call->retry = NULL;
	if (r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN)
		r = loop_add_timer(call->loop, "vmm connect", VMM_CALL_RETRY_USEC, on_connect, call,
			&call->retry);
	else if (r >= 0)
		r = begin_dialog(call);
	if (r < 0)
		fail(call, -r, "connect to");
}

static struct vmm_call *call_new(struct loop *loop, vmm_done_fn done, void *userdata)
{
	struct vmm_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct vmm_call){
		.loop = loop, .fd = -1, .give = -1, .done = done, .userdata = userdata};
	return call;
}

int vmm_call_start(struct loop *loop, const char *run_dir, const struct vmm_dialog *dialog,
	char *request, vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	_unref_(vmm_call) struct vmm_call *call = call_new(loop, done, userdata);
	int r;

	if (!call || !request) {
		free(request);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	call->dialog = dialog;
	call->request = request;
	r = vmm_socket_path(run_dir, dialog->socket, &call->path, err);
	if (r < 0)
		return r;
	r = loop_add_timer(loop, "vmm deadline", dialog->usec ? dialog->usec : VMM_CALL_USEC,
		on_deadline, call, &call->deadline);
	if (r >= 0)
		r = loop_defer(loop, "vmm connect", on_connect, call, &call->retry);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "talk to %s", call->path);
	*ret = TAKE_PTR(call);
	return 0;
}

int vmm_call_give(struct vmm_call *call, int fd)
{
	assert(call->give < 0 && call->fd < 0);
	call->give = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return call->give < 0 ? -errno : 0;
}

static void on_deferred(void *userdata)
{
	struct vmm_call *call = userdata;
	_err_ struct bg_err *err = NULL;

	if (call->failure)
		bg_err_sys(&err, BG_ERR_VMM_FAILED, call->failure, "command");
	finish(call, err);
}

int vmm_call_defer(struct loop *loop, int errnum, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	_unref_(vmm_call) struct vmm_call *call = call_new(loop, done, userdata);
	int r = call ? loop_defer(loop, "vmm done", on_deferred, call, &call->retry) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "queue a VMM command");
	call->failure = errnum;
	*ret = TAKE_PTR(call);
	return 0;
}

void vmm_call_free(struct vmm_call *call)
{
	if (!call)
		return;
	quiet(call);
	free(call->path);
	free(call->request);
	free(call->out);
	free(call->in);
	free(call);
}
