/* SPDX-License-Identifier: ISC */
/* program.h: where a program lies and how new it is. Used by the daemon before it starts one, and
 * by doctor. Leaf code, never logs. */
#ifndef BG_COMMON_PROGRAM_H
#define BG_COMMON_PROGRAM_H

#include "common/base.h"

/*
 * name: one that contains a '/' is taken as it is, any other is looked for in PATH, whose relative
 * entries are left aside (they would mean another file after a chdir). *ret is the caller's;
 * -ENOENT, -ENOMEM.
 */
int bg_program_find(const char *name, char **ret);

/* "7.2.22" is at least 7.2; NULL and what is not a version are not. */
bool bg_version_at_least(const char *version, unsigned major, unsigned minor);

#endif
