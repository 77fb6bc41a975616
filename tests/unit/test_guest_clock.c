/* SPDX-License-Identifier: ISC */
/* Time limits of commands in a guest that has been up for 49 days, when its milliseconds leave 32 bits. */
#include <endian.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "common/agent_exec.h"
#include "guest/killall.h"
#include "guest/log.h"
#include "guest/session.h"
#include "guest/spawn.h"
#include "tests/lib/test.h"

enum { PID = 1 << 23, TIMEOUT_MS = 5000 };

static uint64_t clock_ms;
static int signalled;

/* In place of guest/log.c, guest/spawn.c and guest/killall.c: a command without a process, a clock of ours. */
uint64_t uptime_ms(void)
{
	return clock_ms;
}

void log_line(const char *fmt, ...)
{
	(void)fmt;
}

int spawn(const struct bg_exec *x, struct spawned *ret)
{
	(void)x;
	*ret = (struct spawned){.pid = PID, .fd = {-1, -1, -1}};
	return 0;
}

void killall_session(pid_t leader, int sig)
{
	CHECK_INT(leader, PID);
	signalled = sig;
}

static void open_stream(struct conversation *conversation)
{
	const char *const argv[] = {"sleep", NULL}, *const env[] = {NULL};
	const struct bg_exec exec = {.user = "",
		.workdir = "/",
		.argv = (const char *const *)argv,
		.env = (const char *const *)env,
		.timeout_ms = TIMEOUT_MS};
	_free_ uint8_t *payload = NULL;
	struct bg_agent_head head;
	uint8_t nonce[BG_AGENT_NONCE] = {1};
	size_t len = 0;

	bg_agent_head_init(&head, BG_AGENT_HELLO, 0, 0, sizeof(nonce));
	(void)conversation_input(conversation, (const uint8_t *)&head, sizeof(head));
	(void)conversation_input(conversation, nonce, sizeof(nonce));
	CHECK_INT(bg_exec_encode(&exec, &payload, &len), 0);
	bg_agent_head_init(&head, BG_AGENT_EXEC, 1, 0, len);
	(void)conversation_input(conversation, (const uint8_t *)&head, sizeof(head));
	(void)conversation_input(conversation, payload, len);
}

TEST(a_limit_that_ends_after_the_wrap)
{
	static struct conversation conversation;
	static const uint8_t id[16];

	conversation_init(&conversation, id, 0);
	sessions_init(&conversation, epoll_create1(EPOLL_CLOEXEC));
	clock_ms = UINT32_MAX - 1000;
	open_stream(&conversation);
	CHECK_INT(sessions_timeout(), TIMEOUT_MS);
	(void)sessions_pump();
	CHECK_INT(signalled, 0);
	clock_ms += TIMEOUT_MS - 1;
	(void)sessions_pump();
	CHECK_INT(signalled, 0);
	CHECK_INT(sessions_timeout(), 1);
	clock_ms++;
	(void)sessions_pump();
	CHECK(signalled != 0);
}
