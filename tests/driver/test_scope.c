/* SPDX-License-Identifier: ISC */
/* The request for a scope (daemon/driver/scope.h), to a process that plays the manager; test_user_unit.py has a real one. */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "daemon/driver/scope_msg.h"
#include "tests/driver/spin.h"
#include "tests/lib/test.h"

enum { PLAY_S = 60 };

static struct loop *loop;
static char *path;
static pid_t manager;
static int completed;
static char said[200]; /* "" for success */

static const struct scope_spec spec = {
	.unit = "banger-vm-0011.scope", .description = "VM a", .pid = 4711, .memory_high = 1 << 30};

/* What a manager's messages look like: a header of that type with no fields, and a body. */
static size_t message(uint8_t type, const char *text, uint8_t ret[64])
{
	uint8_t n = (uint8_t)strlen(text), body = text[0] ? n + 5 : 0;

	memset(ret, 0, 64);
	memcpy(ret, (uint8_t[]){'l', type, 1, 1, body}, 5);
	ret[8] = 9;
	if (text[0]) {
		ret[16] = n;
		memcpy(ret + 20, text, n);
	}
	return 16u + body;
}

static bool read_exact(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Reads the request and checks its frame; -1 in its exit status is a fault of ours. */
static bool take_request(int fd)
{
	uint8_t fixed[16], rest[SCOPE_MSG_MAX];
	uint32_t body, fields;

	if (!read_exact(fd, rest, 7) || memcmp(rest, "BEGIN\r\n", 7) != 0 ||
		!read_exact(fd, fixed, sizeof(fixed)) ||
		memcmp(fixed, (uint8_t[]){'l', 1, 0, 1}, 4) != 0)
		return false;
	memcpy(&body, fixed + 4, 4);
	memcpy(&fields, fixed + 12, 4);
	fields = (fields + 7) / 8 * 8;
	return body + fields <= sizeof(rest) && read_exact(fd, rest, body + fields) &&
	       memmem(rest, fields, "StartTransientUnit", 18) &&
	       memmem(rest + fields, body, "banger-vm-0011.scope", 21) &&
	       memmem(rest + fields, body, "\x67\x12\0\0", 4); /* 4711 */
}

static _noreturn_ void play(int listener, const char *hello, const char *refusal)
{
	uint8_t line[128], out[64];
	int fd = accept(listener, NULL, NULL);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line));
	size_t len;

	alarm(PLAY_S);
	if (n < 16 || memcmp(line, "\0AUTH EXTERNAL ", 15) != 0)
		_exit(1);
	if (bg_write_all(fd, hello, strlen(hello)) < 0 || !bg_streq(hello, "OK 12\r\n"))
		_exit(0);
	if (!take_request(fd))
		_exit(1);
	len = message(4, "a signal", out); /* for somebody else */
	(void)bg_write_all(fd, out, len);
	len = message(refusal ? 3 : 2, refusal ? refusal : "/job/1", out);
	(void)bg_write_all(fd, out, len - 3); /* in two pieces */
	(void)bg_write_all(fd, out + len - 3, 3);
	_exit(0);
}

static void start_manager(const char *hello, const char *refusal)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(loop_new(&loop), 0);
	CHECK(asprintf(&path, "%s/private", test_tmpdir()) > 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 &&
		listen(fd, 1) == 0);
	manager = fork();
	if (manager == 0)
		play(fd, hello, refusal);
	close(fd);
	completed = 0;
}

static void end_manager(void)
{
	int status = -1;

	CHECK(waitpid(manager, &status, 0) == manager);
	CHECK_INT(status, 0);
	loop_free(loop);
	unlink(path);
	free(path);
}

static void on_done(const struct bg_err *err, void *userdata)
{
	(void)userdata;
	snprintf(said, sizeof(said), "%s", err ? err->message : "");
	completed++;
}

/* Asks, and waits for the one completion. */
static void ask(void)
{
	struct scope_call *call = NULL;

	CHECK_INT(scope_start(loop, path, &spec, on_done, NULL, &call, NULL), 0);
	SPIN(loop, completed == 1);
	scope_call_free(call);
	end_manager();
}

TEST(asked_and_given)
{
	start_manager("OK 12\r\n", NULL);
	ask();
	CHECK_STR(said, "");
}

TEST(refused_with_a_reason)
{
	start_manager("OK 12\r\n", "no such slice");
	ask();
	CHECK(strstr(said, "no such slice"));
}

TEST(not_taken_for_its_user)
{
	start_manager("REJECTED\r\n", NULL);
	ask();
	CHECK(strstr(said, "does not take us"));
}

TEST(it_hangs_up)
{
	start_manager("OK", NULL);
	ask();
	CHECK(strstr(said, "hung up"));
}

TEST(nobody_listens)
{
	_err_ struct bg_err *err = NULL;
	struct scope_call *call = NULL;

	CHECK_INT(loop_new(&loop), 0);
	CHECK(scope_start(loop, "/nowhere/private", &spec, on_done, NULL, &call, &err) < 0);
	CHECK(err && strstr(err->message, "/nowhere/private"));
	loop_free(loop);
}

TEST(answers_that_cannot_be_read)
{
	const char *text = NULL;
	uint8_t bytes[64];
	size_t len = 0, n = message(3, "why", bytes);

	CHECK_INT(scope_msg_answer(bytes, 15, &len, &text), SCOPE_MORE);
	CHECK_INT(scope_msg_answer(bytes, n - 1, &len, &text), SCOPE_MORE);
	CHECK_INT(scope_msg_answer(bytes, n, &len, &text), SCOPE_REFUSED);
	CHECK_STR(text, "why");
	bytes[16] = 200; /* a string beyond the message */
	CHECK_INT(scope_msg_answer(bytes, n, &len, &text), SCOPE_REFUSED);
	CHECK_STR(text, "no reason given");
	memset(bytes + 12, 0xff, 4);
	CHECK_INT(scope_msg_answer(bytes, n, &len, &text), SCOPE_BROKEN);
	bytes[0] = 'B';
	CHECK_INT(scope_msg_answer(bytes, n, &len, &text), SCOPE_BROKEN);
}

TEST(whose_unit_a_process_is_in)
{
	CHECK(scope_in_manager(
		"0::/user.slice/user-7.slice/user@7.service/app.slice/bangerd.service\n", 7));
	CHECK(scope_in_manager("1:name=systemd:/x\n0::/user@7.service/app.slice/x\n", 7));
	CHECK(!scope_in_manager("0::/user.slice/user-7.slice/session-2.scope\n", 7));
	CHECK(!scope_in_manager("0::/user.slice/user@8.service/app.slice/x\n", 7));
	CHECK(!scope_in_manager("0::/\n1:pids:/user@7.service/x\n", 7));
	CHECK(!scope_in_manager("1:pids:/user@7.service/x\n", 7));
	CHECK(!scope_in_manager("", 7));
}

TEST(a_name_that_is_too_long)
{
	static char name[SCOPE_MSG_MAX + 1];
	const struct scope_spec wide = {.unit = name, .description = "x", .pid = 1};
	struct scope_msg msg;

	memset(name, 'x', SCOPE_MSG_MAX);
	CHECK(!scope_msg_start(&wide, &msg));
	CHECK(scope_msg_start(&spec, &msg));
	CHECK_INT(msg.len % 4, 0);
}
