/* SPDX-License-Identifier: ISC */
/* error_line.h: the line of a package manager's log that says what went wrong. */
#ifndef BG_COMMON_ERROR_LINE_H
#define BG_COMMON_ERROR_LINE_H

#include "common/base.h"

/*
 * The first line of the log's end (64 KiB) that apt ("E: "), apk, dnf, zypper or pacman mark as an error, without the
 * mark: theirs comes before those of who called them. The caller's; NULL: there is none.
 */
char *bg_error_line(const char *path);

#endif
