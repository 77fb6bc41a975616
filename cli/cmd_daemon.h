/* SPDX-License-Identifier: ISC */
/* cmd_daemon.h: the rows of `banger daemon`; cmd_host.c has them in its table. */
#ifndef BG_CLI_CMD_DAEMON_H
#define BG_CLI_CMD_DAEMON_H

#include "cli/args.h"

int daemon_status(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_socket(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_start(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_stop(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_restart(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_install(struct cli *cli, const struct args *args, struct bg_err **err);
int daemon_uninstall(struct cli *cli, const struct args *args, struct bg_err **err);

/* Ends the daemon that runs, as `daemon stop` with the flags of args does; none is fine. */
int daemon_make_room(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
