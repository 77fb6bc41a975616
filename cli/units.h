/* SPDX-License-Identifier: ISC */
/*
 * units.h: the user's systemd, as the commands need it: whether it starts the daemon, and how it is told to do something. All
 * of it is `systemctl --user`; without systemd nothing here fails.
 */
#ifndef BG_CLI_UNITS_H
#define BG_CLI_UNITS_H

#include "cli/cli.h"

/* Does a manager of this user's run, which answers? By its socket; nothing is started. */
bool units_have_manager(void);
/* Is it told to listen for the daemon (bangerd.socket is enabled)? */
bool units_enabled(const struct cli *cli);
/* `systemctl --user` with these words, which end with NULL; said as the error where that is not 0. May block. */
int units_call(const char *const *words, struct bg_err **err);
/* Where it is enabled and does not listen: it is made to. false: the daemon is to be started without it. */
bool units_listen(const struct cli *cli);
/* The folder for units of the user's own; the caller's, NULL when out of memory. */
char *units_folder(const struct cli *cli);

#endif
