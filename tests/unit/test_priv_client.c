/* SPDX-License-Identifier: ISC */
/* daemon/priv: replies to values and errors, and the reasons why a helper cannot be started. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/priv/priv_client.h"
#include "tests/lib/test.h"

static struct priv_msg refusal(enum priv_verb verb, uint32_t id, enum priv_code code)
{
	const struct priv_rep rep = {.verb = verb, .id = id, .code = code};
	struct priv_msg msg;

	CHECK_INT(priv_rep_encode(&rep, &msg), 0);
	return msg;
}

TEST(routes_that_overlap)
{
	static const char head[] =
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
	static const struct {
		const char *line, *text;
	} rows[] = {
		{"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\n", NULL},
		{"tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\n",
			NULL}, /* half of the default, as VPNs write it */
		{"bgr3-0\t0203D10A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\n", NULL},
		{"*\t0003D10A\t00000000\t0200\t0\t0\t9898\t00FFFFFF\t0\n", NULL},
		{"eth0\t0004D10A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n", NULL},
		{"tun7\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\n", "10.0.0.0/8 by tun7"},
		{"eth1\t8003D10A\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\n",
			"10.209.3.128/25 by eth1"},
		{"half a line\n", NULL},
	};
	char text[512], route[PRIV_ROUTE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "%s%s", head, rows[i].line);
		CHECK_INT(priv_route_overlap_in(text, "10.209.3.1", route), rows[i].text != NULL);
		if (rows[i].text)
			CHECK_STR(route, rows[i].text);
	}
	CHECK(!priv_route_overlap_in(text, "", route));
}

TEST(attach_reply)
{
	const struct priv_rep rep = {.verb = PRIV_NET_ATTACH,
		.id = 9,
		.net_attach = {1, "bgr3-7", 0x0ad10309, 0x0ad10301, {2, 0x62, 0x67, 0, 3, 7}}};
	struct priv_msg msg;
	struct priv_net net;
	uint32_t id;
	_err_ struct bg_err *err = NULL;

	CHECK_INT(priv_rep_encode(&rep, &msg), 0);
	CHECK_INT(priv_decode_net_attach(&msg, &net, &err), 0);
	CHECK_STR(net.tap, "bgr3-7");
	CHECK_STR(net.guest, "10.209.3.9");
	CHECK_STR(net.gateway, "10.209.3.1");
	CHECK_STR(net.mac, "02:62:67:00:03:07");
	CHECK(net.fresh);
	CHECK_INT(priv_reply_id(&msg, &id), 0);
	CHECK_INT(id, 9);
}

TEST(reply_to_another_verb)
{
	struct priv_msg msg = refusal(PRIV_LIST, 1, PRIV_CODE_FAILED);
	_err_ struct bg_err *err = NULL;
	struct priv_net net;

	CHECK_INT(priv_decode_net_attach(&msg, &net, &err), -EBADMSG);
	CHECK_INT(err->code, BG_ERR_HELPER_FAILED);
}

/* Each code becomes an error of its own text with a way out. */
TEST(each_refusal)
{
	for (unsigned code = 1; code < PRIV_CODE_END_; code++) {
		struct priv_msg msg = refusal(PRIV_HELLO, 1, (enum priv_code)code);
		_err_ struct bg_err *err = NULL;
		struct priv_hello hello;

		CHECK(priv_decode_hello(&msg, &hello, &err) < 0);
		CHECK(strstr(err->message, priv_code_text(code)) != NULL);
		CHECK(code == PRIV_CODE_FAILED || err->hint);
		CHECK_INT(err->code == BG_ERR_HELPER_NOT_MEMBER, code == PRIV_CODE_NOT_MEMBER);
		CHECK_INT(err->code == BG_ERR_HELPER_NO_CAP, code == PRIV_CODE_NO_CAPABILITY);
		CHECK_INT(err->code == BG_ERR_HELPER_LIMIT,
			code == PRIV_CODE_USERS || code == PRIV_CODE_SLOT_LIMIT);
	}
}

TEST(unasked_refusal)
{
	struct priv_msg msg = refusal(PRIV_HELLO, 0, PRIV_CODE_CONFIG);
	_err_ struct bg_err *err = NULL;
	struct priv_hello hello;
	uint32_t id = 5;

	CHECK(priv_decode_hello(&msg, &hello, &err) < 0);
	CHECK_INT(priv_reply_id(&msg, &id), 0);
	CHECK_INT(id, 0);
}

TEST(hello_of_another_build)
{
	const struct priv_rep rep = {.verb = PRIV_HELLO,
		.id = 1,
		.hello = {.hash = priv_table_hash() + 1, .slots = 1, .gateway = 0x0ad10001}};
	_err_ struct bg_err *err = NULL;
	struct priv_hello hello;
	struct priv_msg msg;

	CHECK_INT(priv_rep_encode(&rep, &msg), 0);
	CHECK(priv_decode_hello(&msg, &hello, &err) < 0);
	CHECK_INT(err->code, BG_ERR_HELPER_REFUSED);
}

TEST(bad_slot)
{
	struct priv_msg msg;

	CHECK_INT(priv_encode_net_attach(1, BG_SLOTS_MAX, &msg), -EINVAL);
	CHECK_INT(priv_encode_net_attach(1, 256, &msg), -EINVAL);
	CHECK_INT(priv_encode_net_detach(1, BG_SLOTS_MAX, &msg), -EINVAL);
	CHECK_INT(priv_encode_net_detach(1, 0, &msg), 0);
}

TEST(check_missing)
{
	_err_ struct bg_err *err = NULL;

	CHECK_INT(priv_helper_check("/nonexistent/banger-privhelper", &err), -ENOENT);
	CHECK_INT(err->code, BG_ERR_HELPER_MISSING);
}

TEST(check_no_capability)
{
	_err_ struct bg_err *err = NULL;

	CHECK(priv_helper_check("/bin/true", &err) < 0);
	CHECK_INT(err->code, BG_ERR_HELPER_NO_CAP);
	CHECK(strstr(err->message, "cap_net_admin") != NULL);
}

/* What priv_helper_check says to this uid of a helper in a folder of root's. */
static void check_closed(uid_t uid, struct bg_err **err)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/closed", test_tmpdir());
	CHECK_INT(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/closed/banger-privhelper", test_tmpdir());
	fd = open(path, O_CREAT | O_WRONLY, 0755);
	CHECK(fd >= 0);
	close(fd);
	if (geteuid() != 0)
		test_skip("needs root to be another user than the folder's");
	CHECK_INT(chmod(test_tmpdir(), 0755), 0);
	CHECK_INT(setresgid(65534, 65534, 65534), 0);
	CHECK_INT(setresuid(uid, uid, uid), 0);
	CHECK_INT(priv_helper_check(path, err), -EACCES);
	CHECK_INT((*err)->code, BG_ERR_HELPER_NOT_MEMBER);
}

TEST(check_not_member)
{
	_err_ struct bg_err *err = NULL;

	check_closed(65534, &err);
	CHECK(strstr(err->message, "nobody") && strstr(err->message, "root"));
	CHECK(strstr(err->hint, "usermod -aG root nobody") != NULL);
}

/* Of a directory service: no file has the name, and nobody waits for a server to hear it. */
TEST(check_not_member_of_no_file)
{
	_err_ struct bg_err *err = NULL;

	setenv("USER", "alice", 1);
	check_closed(3999999999U, &err);
	CHECK(strstr(err->hint, "usermod -aG root alice") != NULL);
}

TEST(spawn_missing)
{
	int sock = -1;
	pid_t pid;

	CHECK_INT(priv_spawn_helper("/nonexistent/banger-privhelper", &sock, &pid), -ENOENT);
	CHECK_INT(sock, -1);
}

/* What the child finds: a socket as fd 3, nothing above it but the script, an empty environment. */
TEST(spawn)
{
	static const char script[] =
		"#!/bin/bash\n"
		"[ -S /proc/$$/fd/3 ] || exit 1\n"
		"[ -z \"$(/usr/bin/tr -d '\\0' </proc/$$/environ)\" ] || exit 2\n"
		"for fd in /proc/$$/fd/[4-9]; do [ ! -S $fd ] || exit 3; done\n"
		"exit 7\n";
	char path[256], buf[8];
	int sock, fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/helper", test_tmpdir());
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	CHECK(fd >= 0 && write(fd, script, sizeof(script) - 1) == (ssize_t)sizeof(script) - 1);
	close(fd);
	CHECK_INT(priv_spawn_helper(path, &sock, &pid), 0);
	CHECK(fcntl(sock, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(WEXITSTATUS(status), 7);
	CHECK_INT(read(sock, buf, sizeof(buf)), 0);
}
