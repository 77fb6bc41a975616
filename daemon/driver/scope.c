/* SPDX-License-Identifier: ISC */
/*
 * See scope.h. Said at the socket: who we are ("AUTH EXTERNAL", our uid in hex of its digits), and after the OK
 * one message; its answer, among signals that are for nobody, ends the call. The D-Bus specification, "Authentication Protocol".
 */
#include "daemon/driver/scope.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"
#include "daemon/driver/scope_msg.h"

enum { LATE_USEC = 20 * 1000 * 1000, CGROUPS_MAX = 16 * 1024 };

struct scope_call {
	struct loop_source *io, *late;
	int fd;
	bool authenticated;
	struct scope_msg msg;
	uint8_t in[SCOPE_ANSWER_MAX];
	size_t in_len;
	scope_done_fn done;
	void *userdata;
};

bool scope_in_manager(const char *cgroups, uid_t uid)
{
	const char *line = strncmp(cgroups, "0::", 3) == 0 ? cgroups : strstr(cgroups, "\n0::");
	char unit[64];
	const char *at;

	(void)snprintf(unit, sizeof(unit), "/user@%u.service/", (unsigned)uid);
	if (line && *line == '\n')
		line++;
	at = line ? strstr(line, unit) : NULL;
	return at && (size_t)(at - line) < strcspn(line, "\n");
}

char *scope_socket(const char **ret_why)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	_free_ char *cgroups = NULL;
	char *path = NULL;

	*ret_why = "the daemon is not a unit of your systemd (`banger daemon install`)";
	if (bg_read_file_at(AT_FDCWD, "/proc/self/cgroup", CGROUPS_MAX, &cgroups, NULL) < 0 ||
		!scope_in_manager(cgroups, getuid()))
		return NULL;
	*ret_why = "the socket of your systemd's manager is not there";
	if ((dir ? asprintf(&path, "%s/systemd/private", dir)
		 : asprintf(&path, "/run/user/%u/systemd/private", (unsigned)getuid())) < 0)
		return NULL;
	if (access(path, W_OK) < 0) {
		free(path);
		return NULL;
	}
	*ret_why = NULL;
	return path;
}

static void finish(struct scope_call *call, const struct bg_err *err)
{
	loop_source_free(TAKE_PTR(call->io));
	loop_source_free(TAKE_PTR(call->late));
	call->done(err, call->userdata);
}

static void fail(struct scope_call *call, int errnum, const char *why)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_VMM_FAILED, errnum, "ask systemd for a scope: %s", why);
	finish(call, err);
}

/* A few hundred bytes: they fit the socket's buffer, or nothing goes. */
static int say(const struct scope_call *call, const void *p, size_t len)
{
	ssize_t n = send(call->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : (size_t)n < len ? -EIO : 0;
}

static void consume(struct scope_call *call, size_t n)
{
	call->in_len -= n;
	memmove(call->in, call->in + n, call->in_len);
}

/* False: more is needed, or the call has ended. */
static bool take_line(struct scope_call *call)
{
	const uint8_t *end = memchr(call->in, '\n', call->in_len);
	int r;

	if (!end)
		return false;
	if (call->in_len < 3 || memcmp(call->in, "OK ", 3) != 0) {
		fail(call, EPERM, "it does not take us for its user");
		return false;
	}
	consume(call, (size_t)(end + 1 - call->in));
	call->authenticated = true;
	r = say(call, "BEGIN\r\n", 7);
	if (r >= 0)
		r = say(call, call->msg.data, call->msg.len);
	if (r >= 0)
		return true;
	fail(call, -r, strerror(-r));
	return false;
}

static bool take_message(struct scope_call *call)
{
	const char *text = NULL;
	size_t len = 0;

	switch (scope_msg_answer(call->in, call->in_len, &len, &text)) {
	case SCOPE_MORE:
		return false;
	case SCOPE_OTHER:
		consume(call, len);
		return true;
	case SCOPE_DONE:
		finish(call, NULL);
		return false;
	case SCOPE_REFUSED:
		fail(call, EACCES, text);
		return false;
	case SCOPE_BROKEN:
		break;
	}
	fail(call, EPROTO, "its answer cannot be read");
	return false;
}

static void on_input(int fd, unsigned events, void *userdata)
{
	struct scope_call *call = userdata;
	ssize_t n =
		recv(fd, call->in + call->in_len, sizeof(call->in) - call->in_len, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(call, n < 0 ? errno : ECONNRESET, n < 0 ? strerror(errno) : "it hung up");
		return;
	}
	call->in_len += (size_t)n;
	while (call->authenticated ? take_message(call) : take_line(call))
		;
}

static void on_late(void *userdata)
{
	fail(userdata, ETIMEDOUT, "it does not answer");
}

/* One byte 0 first: credentials may ride on it. */
static int begin_auth(const struct scope_call *call)
{
	char digits[16], line[64];
	int at = 0;

	(void)snprintf(digits, sizeof(digits), "%u", (unsigned)getuid());
	at += snprintf(line, sizeof(line), "%cAUTH EXTERNAL ", 0);
	for (const char *p = digits; *p; p++)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "%02x", (unsigned)*p);
	at += snprintf(line + at, sizeof(line) - (size_t)at, "\r\n");
	return say(call, line, (size_t)at);
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_close_ int fd = -1;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int scope_start(struct loop *loop, const char *socket, const struct scope_spec *spec,
	scope_done_fn done, void *userdata, struct scope_call **ret, struct bg_err **err)
{
	_unref_(scope_call) struct scope_call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	call->fd = -1;
	call->done = done;
	call->userdata = userdata;
	if (!scope_msg_start(spec, &call->msg))
		return bg_err_set(err, BG_ERR_INTERNAL, ENAMETOOLONG, "the scope's name is long");
	r = call->fd = connect_to(socket);
	if (r >= 0)
		r = loop_add_fd(loop, "scope", call->fd, LOOP_READ, on_input, call, &call->io);
	if (r >= 0)
		r = loop_add_timer(loop, "scope late", LATE_USEC, on_late, call, &call->late);
	if (r >= 0)
		r = begin_auth(call);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_VMM_FAILED, -r, "ask systemd at %s", socket);
	*ret = TAKE_PTR(call);
	return 0;
}

void scope_call_free(struct scope_call *call)
{
	if (!call)
		return;
	loop_source_free(call->io);
	loop_source_free(call->late);
	bg_close(call->fd);
	free(call);
}
