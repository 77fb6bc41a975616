/* SPDX-License-Identifier: ISC */
/* See applet.h. */
#include "guest/applet.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/tar.h"
#include "guest/expose.h"
#include "guest/grow.h"
#include "guest/identity.h"
#include "guest/pump.h"
#include "guest/workspace.h"

enum { PIECE = 64 * 1024 };

static int said(const struct bg_err *err)
{
	(void)dprintf(STDERR_FILENO, "banger: %s\n", err->message);
	return 1;
}

static int run_pack(const char *path)
{
	const struct bg_tar_packing p = {.out_fd = STDOUT_FILENO};
	_err_ struct bg_err *err = NULL;

	return bg_tar_pack(&p, path, &err) < 0 ? said(err) : 0;
}

/* The host that went away is the end of the stream: what is half written is then removed, for which
 * HUP leaves time. */
static int run_unpack(const char *const *argv, bool folder_only)
{
	const char *path = argv[0] ? argv[0] : "";
	bool held = argv[0] && bg_streq(argv[1], "as") && argv[2];
	struct bg_tar_unpacking u = {
		.in_fd = STDIN_FILENO, .as_root = geteuid() == 0, .top = held ? argv[2] : NULL};
	_err_ struct bg_err *err = NULL;

	(void)signal(SIGHUP, SIG_IGN);
	return bg_tar_unpack(&u, path, folder_only, &err) < 0 ? said(err) : 0;
}

/* A process for each direction: neither ever waits for the other. */
static int run_connect(const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		(void)dprintf(
			STDERR_FILENO, "banger: port %s in the guest: %s\n", port, strerror(errno));
		return 1;
	}
	pid = fork();
	if (pid == 0) {
		pump(STDIN_FILENO, fd);
		(void)shutdown(fd, SHUT_WR);
		_exit(0);
	}
	pump(fd, STDOUT_FILENO);
	if (pid > 0)
		(void)kill(pid, SIGKILL);
	return 0;
}

static int run_name(const char *const *argv)
{
	_err_ struct bg_err *err = NULL;

	return identity_rename(argv[0] ? argv[0] : "", argv[0] ? argv[1] : NULL, &err) < 0
		       ? said(err)
		       : 0;
}

int applet_run(const struct bg_exec *x)
{
	const char *arg = x->argv[0] ? x->argv[0] : "";

	switch (x->kind) {
	case BG_AGENT_K_GROW:
		return grow_live(x->argv);
	case BG_AGENT_K_PACK:
		return run_pack(arg);
	case BG_AGENT_K_UNPACK:
	case BG_AGENT_K_UNPACK_INTO:
		return run_unpack(x->argv, x->kind == BG_AGENT_K_UNPACK_INTO);
	case BG_AGENT_K_CONNECT:
		return run_connect(arg);
	case BG_AGENT_K_PORTS:
		return applet_ports();
	case BG_AGENT_K_STATS:
		return applet_stats();
	case BG_AGENT_K_WORKSPACE:
		return workspace_run(x->argv);
	case BG_AGENT_K_NAME:
		return run_name(x->argv);
	case BG_AGENT_K_ACCEPT:
		return expose_accept(APPLET_FD, arg);
	case BG_AGENT_K_EXPOSE:
	case BG_AGENT_K_RUN:
	case BG_AGENT_K_MAX_:
		break;
	}
	return 1;
}
