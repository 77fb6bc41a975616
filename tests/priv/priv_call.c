/* SPDX-License-Identifier: ISC */
/*
 * priv_call: bangerd's side of the border as a command, for tests: starts the helper as
 * the monitor would, says HELLO, makes each call of the command line.
 *   priv_call HELPER [attach N | detach N | list | cleanup]...
 * Prints a line per answer, or the error's code, message and hint and exits 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/priv/priv_client.h"

static int fail(const struct bg_err *err)
{
	printf("%s|%s|%s\n", bg_err_code_str(err->code), err->message, err->hint ? err->hint : "");
	return 1;
}

static int exchange(int sock, struct priv_msg *msg)
{
	int r = priv_msg_send(sock, msg);

	/* a helper that could not start is gone by now, but has said why */
	return r < 0 && r != -EPIPE ? r : priv_msg_recv(sock, msg);
}

static int attach(int sock, unsigned slot, struct bg_err **err)
{
	struct priv_msg msg;
	struct priv_net net;
	int r = priv_encode_net_attach(2, slot, &msg);

	if (r >= 0)
		r = exchange(sock, &msg);
	if (r >= 0)
		r = priv_decode_net_attach(&msg, &net, err);
	if (r >= 0)
		printf("%s %s %s %s %d\n", net.tap, net.guest, net.gateway, net.mac, net.fresh);
	return r;
}

static int detach(int sock, unsigned slot, struct bg_err **err)
{
	struct priv_msg msg;
	bool existed;
	int r = priv_encode_net_detach(3, slot, &msg);

	if (r >= 0)
		r = exchange(sock, &msg);
	if (r >= 0)
		r = priv_decode_net_detach(&msg, &existed, err);
	if (r >= 0)
		printf("%d\n", existed);
	return r;
}

static int set_of(int sock, bool cleanup, struct bg_err **err)
{
	struct priv_msg msg;
	uint64_t slots;
	int r = cleanup ? priv_encode_cleanup(4, &msg) : priv_encode_list(4, &msg);

	if (r >= 0)
		r = exchange(sock, &msg);
	if (r >= 0)
		r = cleanup ? priv_decode_cleanup(&msg, &slots, err)
			    : priv_decode_list(&msg, &slots, err);
	if (r >= 0)
		printf("%" PRIx64 "\n", slots);
	return r;
}

static int call(int sock, char **argv, struct bg_err **err)
{
	if (bg_streq(argv[0], "attach"))
		return attach(sock, (unsigned)atoi(argv[1]), err);
	if (bg_streq(argv[0], "detach"))
		return detach(sock, (unsigned)atoi(argv[1]), err);
	return set_of(sock, bg_streq(argv[0], "cleanup"), err);
}

static int hello(int sock, struct bg_err **err)
{
	struct priv_hello hello;
	struct priv_msg msg;
	int r = priv_encode_hello(1, &msg);

	if (r >= 0)
		r = exchange(sock, &msg);
	if (r >= 0)
		r = priv_decode_hello(&msg, &hello, err);
	if (r >= 0)
		printf("index %u slots %u gateway %s\n", hello.index, hello.slots, hello.gateway);
	return r;
}

int main(int argc, char **argv)
{
	_err_ struct bg_err *err = NULL;
	_close_ int sock = -1;
	pid_t pid;
	int r;

	if (argc < 2)
		return 2;
	r = priv_spawn_helper(argv[1], &sock, &pid);
	if (r >= 0)
		r = hello(sock, &err);
	for (int i = 2; i < argc && r >= 0; i++) {
		r = call(sock, argv + i, &err);
		if (bg_streq(argv[i], "attach") || bg_streq(argv[i], "detach"))
			i++;
	}
	if (r >= 0)
		return 0;
	if (!err && priv_helper_check(argv[1], &err) >= 0)
		bg_err_sys(&err, BG_ERR_HELPER_FAILED, -r, "the network helper");
	return fail(err);
}
