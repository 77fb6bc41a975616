/* SPDX-License-Identifier: ISC */
/* cmd_complete.h: `banger completion SHELL`, and `banger __complete` that the scripts call at each TAB. */
#ifndef BG_CLI_CMD_COMPLETE_H
#define BG_CLI_CMD_COMPLETE_H

#include "cli/cli.h"

int completion(struct cli *cli, const struct args *args, struct bg_err **err);
/*
 * The words typed after "banger" follow "--", the last one unfinished. Prints what it may become, one a line,
 * with a tab and what it is; ":files" leaves it to the shell. Never starts the daemon, waits
 * COMPLETE_MS for it at most, and says nothing when it cannot tell.
 */
int complete(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
