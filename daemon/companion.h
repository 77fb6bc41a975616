/* SPDX-License-Identifier: ISC */
/* companion.h: where our other programs lie: beside bangerd in a build tree, else in BG_LIBEXEC_DIR. */
#ifndef COMPANION_H
#define COMPANION_H

#include "common/err.h"

/* folder: of the build tree ("worker"); name: of the program. *ret is the caller's; TOOL_MISSING names both places. */
int companion_find(const char *folder, const char *name, char **ret, struct bg_err **err);

#endif
