/* SPDX-License-Identifier: ISC */
/* ssh_way.h: how vm ssh can get at a VM: over the network, else by way of its agent. */
#ifndef BG_CLI_SSH_WAY_H
#define BG_CLI_SSH_WAY_H

#include "cli/cli.h"

enum ssh_way {
	SSH_WAY_NET,   /* its address answers; or nothing does, and ssh says why */
	SSH_WAY_AGENT, /* only its own loopback does: ssh goes through the agent */
	SSH_WAY_SHELL, /* no ssh server answers, the agent does: a shell of the agent's */
};

/* Tries the address for at most a second and a half, then the agent. */
enum ssh_way ssh_way_find(struct cli *cli, const char *vm, const char *address, int port);
/* The ProxyCommand option for SSH_WAY_AGENT; the caller's, NULL when out of memory. */
char *ssh_way_proxy(const char *vm, int port);

#endif
