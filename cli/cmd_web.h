/* SPDX-License-Identifier: ISC */
/* cmd_web.h: `banger web`: a browser signed in to the page that bangerd serves. */
#ifndef BG_CLI_CMD_WEB_H
#define BG_CLI_CMD_WEB_H

#include "cli/cli.h"

int web(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
