/* SPDX-License-Identifier: ISC */
/* help.h: help texts, made of the rows of args.h alone. Prints to t; never fails. */
#ifndef BG_CLI_HELP_H
#define BG_CLI_HELP_H

#include "cli/cli.h"

/* Every command by group, and the exit statuses. */
void help_all(const struct term *t);
/* What the commands that begin with this word are about: "vm", "vm workspace". Static. */
const char *help_group_title(const char *word);
/* The commands whose path begins with this word; false when there are none. */
bool help_group(const struct term *t, const char *word);
void help_command(const struct term *t, const struct command *c);
/* What the nth exit status, from 0, means; NULL beyond the last. Static. */
const char *help_exit_status(size_t n, int *status);

#endif
