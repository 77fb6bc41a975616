/* SPDX-License-Identifier: ISC */
/*
 * fake-worker: a banger-worker that misbehaves as the request's "label" says, or copies a file for
 * the storage tests where the real one is not built. Speaks common/job_proto.h.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/job_proto.h"
#include "common/json.h"
#include "common/limits.h"

static int fds[BG_JOB_ALL_FDS_MAX];

static json_t *read_request(void)
{
	static char buf[BG_JOB_MSG_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(fds))];
	} control;
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(BG_JOB_FD, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return n > 0 ? json_loadb(buf, (size_t)n, 0, NULL) : NULL;
}

static void say(const char *text)
{
	if (send(BG_JOB_FD, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(9);
}

static void say_json(const char *key, json_t *value)
{
	_json_ json_t *msg = json_pack("{s:o}", key, value);
	_free_ char *text = json_dumps(msg, JSON_COMPACT);

	say(text);
}

/* Data only; holes stay. */
static int copy(int64_t size)
{
	static char buf[256 * 1024];
	off_t at = 0, end;

	while ((at = lseek(fds[0], at, SEEK_DATA)) >= 0) {
		end = lseek(fds[0], at, SEEK_HOLE);
		while (at < end) {
			size_t want = BG_MIN(sizeof(buf), (size_t)(end - at));
			ssize_t n = pread(fds[0], buf, want, at);

			if (n > 0)
				n = pwrite(fds[1], buf, (size_t)n,
					at); /* a short one leads to the error */
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			at += n;
		}
	}
	return ftruncate(fds[1], size) < 0 ? -errno : 0;
}

static int do_copy(const json_t *request)
{
	_err_ struct bg_err *err = NULL;
	int64_t size = 0;
	int r;

	(void)bg_json_get_int(request, "size", 0, INT64_MAX, &size);
	say("{\"progress\": {\"done\": 1, \"total\": 2, \"unit\": \"bytes\", \"text\": null}}");
	r = copy(size);
	if (r < 0) {
		bg_err_sys(&err, BG_ERR_IO, -r, "write");
		say_json("error", bg_err_to_json(err));
		return 1;
	}
	say("{\"result\": {\"bytes\": 1}}");
	return 0;
}

static void say_huge(void)
{
	int size = 1 << 20;
	char *text = malloc(BG_JOB_MSG_MAX + 100);

	(void)setsockopt(BG_JOB_FD, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(text, ' ', BG_JOB_MSG_MAX + 99);
	memcpy(text, "{\"result\": {}}", 14);
	text[BG_JOB_MSG_MAX + 99] = '\0';
	say(text);
	free(text);
}

static int behave(const char *how)
{
	if (bg_streq(how, "crash"))
		abort();
	if (bg_streq(how, "stall") || bg_streq(how, "linger") || bg_streq(how, "close")) {
		if (bg_streq(how, "linger"))
			say("{\"result\": {}}");
		if (bg_streq(how, "close"))
			close(BG_JOB_FD);
		for (;;)
			pause();
	}
	if (bg_streq(how, "silent"))
		return 0;
	if (bg_streq(how, "garbage"))
		say("}{");
	if (bg_streq(how, "two kinds"))
		say("{\"result\": {}, \"progress\": {}}");
	if (bg_streq(how, "huge"))
		say_huge();
	if (bg_streq(how, "twice"))
		say("{\"result\": {}}");
	if (bg_streq(how, "error")) {
		say("{\"error\": {\"code\": \"image.invalid\", \"message\": \"no tar\", \"hint\": "
		    "\"give a tar\"}}");
		return 1;
	}
	if (bg_streq(how, "flood"))
		for (int i = 0; i < 2000; i++)
			say("{\"progress\": {\"done\": 1, \"total\": null, \"unit\": \"bytes\", "
			    "\"text\": null}}");
	if (bg_streq(how, "write") && (write(fds[0], "hello", 5) != 5))
		return 3;
	say("{\"result\": {\"ok\": true}}");
	return bg_streq(how, "status after") ? 7 : 0;
}

int main(void)
{
	_json_ json_t *request = NULL;
	const char *job = NULL, *how = NULL;

	if (getenv("FAKE_WORKER_CANNOT_START")) {
		say("{\"error\": {\"code\": \"worker.failed\", \"message\": \"no sandbox\", "
		    "\"hint\": null}}");
		return 1;
	}
	request = read_request();
	if (bg_json_get_str(request, "job", &job) < 0)
		return 8;
	if (bg_streq(job, "copy"))
		return do_copy(request);
	(void)bg_json_get_str(request, "label", &how);
	return behave(how);
}
