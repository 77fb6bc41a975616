/* SPDX-License-Identifier: ISC */
/*
 * legacy.h: the one file banger.db of banger before the store process, with a column per field. Read once, then set aside; in
 * its place a file remains that tells such a banger that it is too old, as it would take a missing one for "no VMs" and
 * delete what nobody names.
 */
#ifndef BG_DAEMON_STORE_LEGACY_H
#define BG_DAEMON_STORE_LEGACY_H

#include "daemon/store/rows.h"

#define LEGACY_FILE "banger.db"

/*
 * Adds its rows that rows does not have. -ENOENT: there is none, or only what legacy_leave_mark made; -EBUSY: another program has it;
 * -EUCLEAN: damaged, rows has what could be read.
 */
int legacy_read(const char *path, struct rows *rows, struct bg_err **err);
void legacy_leave_mark(const char *path);

#endif
