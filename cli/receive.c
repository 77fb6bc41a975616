/* SPDX-License-Identifier: ISC */
/* See receive.h. */
#include "cli/receive.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/companion.h"
#include "common/fd.h"
#include "common/job_proto.h"
#include "common/json.h"
#include "common/limits.h"

enum { EXIT_NO_EXEC = 127 };

static int open_folder(const char *path, struct receiving *ret, struct bg_err **err)
{
	ret->folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->folder < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "folder %s", path) : 0;
}

static int is_a_link(const char *dst, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_IO, ELOOP, "%s is a link to a folder", dst);

	bg_err_hint(err,
		"a copy may have put it there; `%s/` goes into the folder that it leads to", dst);
	return r;
}

static int open_above(const char *dst, struct receiving *ret, struct bg_err **err)
{
	const char *slash = strrchr(dst, '/'), *last = slash ? slash + 1 : dst;
	_free_ char *parent = !slash	     ? strdup(".")
			      : slash == dst ? strdup("/")
					     : strndup(dst, (size_t)(slash - dst));

	if (!parent)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (strlen(last) > NAME_MAX)
		return bg_err_sys(err, BG_ERR_IO, ENAMETOOLONG, "%s", dst);
	strcpy(ret->name, last);
	return open_folder(parent, ret, err);
}

int receive_open(const char *dst, const char *name, bool folder_only, struct receiving *ret,
	struct bg_err **err)
{
	bool slash = *dst && dst[strlen(dst) - 1] == '/', link = false, dir = false;
	struct stat st;

	*ret = (struct receiving){.pid = -1, .socket = -1, .folder = -1};
	if (lstat(dst, &st) == 0) {
		link = S_ISLNK(st.st_mode);
		dir = stat(dst, &st) == 0 && S_ISDIR(st.st_mode);
	}
	if (dir && link && !slash)
		return is_a_link(dst, err);
	if (!dir && !slash && !folder_only && *dst)
		return open_above(dst, ret, err);
	if (strlen(name) > NAME_MAX)
		return bg_err_sys(err, BG_ERR_IO, ENAMETOOLONG, "%s", name);
	strcpy(ret->name, name);
	return open_folder(dst, ret, err);
}

/* The keys of a terminal are for banger: the worker cleans up at the end of the stream. */
_noreturn_ static void exec_worker(const char *path, int socket)
{
	char *argv[] = {(char *)path, (char *)"receive", NULL};
	static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP};

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	if (socket == BG_JOB_FD ? bg_set_cloexec(socket, false) >= 0 : dup2(socket, BG_JOB_FD) >= 0)
		execv(path, argv);
	_exit(EXIT_NO_EXEC);
}

static char *request(const struct receiving *r)
{
	char hex[2 * NAME_MAX + 1] = "";
	mode_t mask = umask(0);
	_json_ json_t *json = NULL;

	umask(mask);
	for (size_t i = 0; r->name[i]; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)r->name[i]);
	json = json_pack(
		"{s:s, s:s, s:i}", "job", "receive", "top", hex, "umask", (int)mask & 0777);
	return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

static int send_request(const struct receiving *r, int stream, struct bg_err **err)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = "";
	const int fds[2] = {stream, r->folder};
	_free_ char *text = request(r);
	struct iovec iov = {text, text ? strlen(text) : 0};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	if (sendmsg(r->socket, &msg, MSG_NOSIGNAL) >= 0)
		return 0;
	return bg_err_sys(err, BG_ERR_WORKER, errno, "start banger-worker");
}

int receive_start(struct receiving *r, int stream, struct bg_err **err)
{
	_free_ char *path = NULL;
	int pair[2], e = companion_find("worker", "banger-worker", &path, err);

	if (e < 0)
		return e;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "start banger-worker");
	r->pid = fork();
	if (r->pid == 0)
		exec_worker(path, pair[1]);
	bg_close(pair[1]);
	r->socket = pair[0];
	if (r->pid < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "start banger-worker");
	return send_request(r, stream, err);
}

/* 1: it was the last word. */
static int take_word(const char *text, size_t len, unsigned *left_out, struct bg_err **err)
{
	_json_ json_t *word = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *result = json_object_get(word, "result"),
		     *error = json_object_get(word, "error");
	int64_t n = 0;

	if (error)
		return bg_err_from_json(error, err);
	if (result && bg_json_get_int(result, "left_out", 0, UINT32_MAX, &n) >= 0)
		*left_out = (unsigned)n;
	return result != NULL;
}

int receive_end(struct receiving *r, unsigned *left_out, struct bg_err **err)
{
	_free_ char *buf = malloc(BG_JOB_MSG_MAX);
	ssize_t n;
	int e = 0;

	if (!buf)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	while (e == 0) {
		n = recv(r->socket, buf, BG_JOB_MSG_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bg_err_set(
				err, BG_ERR_WORKER, EPIPE, "banger-worker ended without a result");
		e = take_word(buf, (size_t)n, left_out, err);
	}
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return e < 0 ? e : 0;
}

void receive_done(struct receiving *r)
{
	r->socket = bg_close(r->socket);
	r->folder = bg_close(r->folder);
}
