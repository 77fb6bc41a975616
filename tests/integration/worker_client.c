/* SPDX-License-Identifier: ISC */
/* worker_client.c: Starts the built worker with its socket and speaks frame.h to it. */
#include "tests/integration/worker_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/job_proto.h"
#include "common/limits.h"
#include "tests/lib/test.h"

static void child(int sock)
{
	char path[512];
	int null = open("/dev/null", O_RDONLY);

	snprintf(path, sizeof(path), "%s/worker/banger-worker", test_build_dir());
	dup2(null, 0);
	if (sock == BG_JOB_FD)
		fcntl(sock, F_SETFD, 0);
	else
		dup2(sock, BG_JOB_FD);
	execl(path, "banger-worker", (char *)NULL);
	_exit(127);
}

static void send_request(int sock, const void *request, size_t len, const int *fds, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * (BG_JOB_ALL_FDS_MAX + 2))] =
		"";
	struct iovec iov = {(void *)request, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	CHECK(sendmsg(sock, &mh, MSG_NOSIGNAL) == (ssize_t)len);
}

void worker_start(struct worker *w, const void *request, size_t len, const int *fds, size_t n)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	w->pid = fork();
	CHECK(w->pid >= 0);
	if (w->pid == 0)
		child(pair[1]);
	close(pair[1]);
	w->sock = pair[0];
	send_request(w->sock, request, len, fds, n);
}

static void take(struct worker_answer *a, const char *buf, size_t len)
{
	_json_ json_t *msg = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *v;

	CHECK(json_is_object(msg) && json_object_size(msg) == 1);
	CHECK(!a->result && !a->error); /* nothing may follow the last word */
	if (json_object_get(msg, "progress"))
		a->progress++;
	if ((v = json_object_get(msg, "result")))
		a->result = json_incref(v);
	if ((v = json_object_get(msg, "error")))
		a->error = json_incref(v);
}

struct worker_answer worker_wait(struct worker *w)
{
	static char buf[BG_JOB_MSG_MAX];
	struct worker_answer a = {};
	ssize_t n;

	while ((n = recv(w->sock, buf, sizeof(buf), 0)) > 0)
		take(&a, buf, (size_t)n);
	close(w->sock);
	CHECK(waitpid(w->pid, &a.status, 0) == w->pid);
	return a;
}

struct worker_answer worker_run(const char *request, const int *fds, size_t n)
{
	struct worker w;

	worker_start(&w, request, strlen(request), fds, n);
	return worker_wait(&w);
}

void worker_answer_clear(struct worker_answer *a)
{
	json_decref(a->result);
	json_decref(a->error);
	memset(a, 0, sizeof(*a));
}

void worker_expect_error(struct worker_answer *a, const char *code, const char *words)
{
	const char *got = "", *message = "";

	CHECK(!a->result);
	CHECK(a->error);
	CHECK_INT(bg_json_get_str(a->error, "code", &got), 0);
	CHECK_INT(bg_json_get_str(a->error, "message", &message), 0);
	CHECK_STR(got, code);
	if (!strstr(message, words))
		test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", message, words);
	CHECK_INT(a->status, 0);
	worker_answer_clear(a);
}

int64_t worker_result_int(const struct worker_answer *a, const char *key)
{
	int64_t v = -1;

	if (!a->result && a->error)
		test_fail(__FILE__, __LINE__, "failed: %s",
			json_string_value(json_object_get(a->error, "message")));
	CHECK(a->result);
	CHECK_INT(bg_json_get_int(a->result, key, 0, INT64_MAX, &v), 0);
	return v;
}

const char *worker_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	return path;
}

int worker_file(const char *name)
{
	int fd = open(worker_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	return fd;
}

void worker_fsck(const char *name)
{
	char cmd[700];
	int status;

	snprintf(cmd, sizeof(cmd),
		"PATH=/usr/sbin:/sbin:/usr/bin:/bin; command -v e2fsck >/dev/null || exit 99; "
		"e2fsck -fn %s >%s.fsck 2>&1 || { sed 's/^/# /' %s.fsck; exit 1; }",
		worker_path(name), worker_path(name), worker_path(name));
	status = system(cmd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		test_skip("no e2fsck on this machine");
	CHECK_INT(status, 0);
}
