/* SPDX-License-Identifier: ISC */
/*
 * companion.h: where our other programs lie: in the build tree that this one lies in, beside it, in the
 * libexec of the prefix that this one was installed in, else in BG_PROGRAM_DIR. Used by bangerd and by the CLI.
 */
#ifndef BG_COMMON_COMPANION_H
#define BG_COMMON_COMPANION_H

#include "common/err.h"

/* folder: of the build tree ("worker"); name: of the program. *ret is the caller's; TOOL_MISSING names both places. */
int companion_find(const char *folder, const char *name, char **ret, struct bg_err **err);

#endif
