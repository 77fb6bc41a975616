/* SPDX-License-Identifier: ISC */
/* cmd_version.h: `banger version`: this build, what it has to agree about with other parts, and the VMMs here. */
#ifndef BG_CLI_CMD_VERSION_H
#define BG_CLI_CMD_VERSION_H

#include "cli/cli.h"

int version(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
