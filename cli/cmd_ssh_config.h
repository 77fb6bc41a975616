/* SPDX-License-Identifier: ISC */
/* cmd_ssh_config.h: `banger ssh-config`, and `banger ssh-proxy` that the text it makes calls. */
#ifndef BG_CLI_CMD_SSH_CONFIG_H
#define BG_CLI_CMD_SSH_CONFIG_H

#include "cli/cli.h"

int ssh_config(struct cli *cli, const struct args *args, struct bg_err **err);
/* HOST PORT: connects and hands the socket to ssh (ProxyUseFdpass). */
int ssh_proxy(struct cli *cli, const struct args *args, struct bg_err **err);

/* HOST: its key as ssh's KnownHostsCommand prints it, good for any name that ssh looks for. */
int ssh_known_hosts(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
