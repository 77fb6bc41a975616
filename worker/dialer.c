/* SPDX-License-Identifier: ISC */
/* See dialer.h. */
#include "worker/dialer.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/job_proto.h"
#include "common/seal.h"
#include "worker/dial.h"
#include "worker/reach.h"
#include "worker/sandbox.h"

static void take_named(const json_t *params)
{
	static const char *const keys[] = {"after", "url", "host"}; /* the first that is there */
	static const char *const proxies[] = {
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
	const char *server = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && !server; i++)
		server = json_string_value(json_object_get(params, keys[i]));
	reach_named(server);
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		reach_named(getenv(proxies[i]));
	reach_start();
}

/* The child's whole life: its socket takes the place of the job's. */
_Noreturn static void live(int sock, int deadline_s)
{
	if (dup2(sock, BG_JOB_FD) < 0 || sandbox_enter(NULL) < 0 ||
		sandbox_seal(deadline_s, SANDBOX_DIAL, NULL, 0, NULL) < 0)
		_exit(EXIT_FAILURE);
	dial_serve(BG_JOB_FD);
	_exit(EXIT_SUCCESS);
}

int dialer_start(const json_t *params, int deadline_s, struct bg_err **err)
{
	_close_ int mine = -1, theirs = -1;
	int pair[2];
	pid_t pid;

	take_named(params);
	if (BG_SANITIZED)
		return 0; /* not sealed: the worker's own connections ask reach.h */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "start the dialer");
	mine = pair[0];
	theirs = pair[1];
	pid = fork();
	if (pid < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "start the dialer");
	if (pid == 0)
		live(theirs, deadline_s);
	dial_through(TAKE_FD(mine));
	return 0;
}
