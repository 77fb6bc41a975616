/* SPDX-License-Identifier: ISC */
/*
 * helper_hint.h: hints name the helper's installer as a checkout has it, `sudo scripts/install-helper`. An installed
 * banger has it elsewhere, or comes in packages.
 */
#ifndef BG_COMMON_HELPER_HINT_H
#define BG_COMMON_HELPER_HINT_H

/* The hint as it is true here. text is freed, and may be NULL; the caller's. */
char *bg_helper_hint(char *text);
/* The same for a banger in this folder of programs; package "": it comes in none. */
char *bg_helper_hint_in(char *text, const char *programs, const char *package);

#endif
