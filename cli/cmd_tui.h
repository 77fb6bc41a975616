/* SPDX-License-Identifier: ISC */
/* cmd_tui.h: `banger tui`: becomes banger-tui, which lies beside bangerd. */
#ifndef BG_CLI_CMD_TUI_H
#define BG_CLI_CMD_TUI_H

#include "cli/cli.h"

int tui(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
