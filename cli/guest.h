/* SPDX-License-Identifier: ISC */
/*
 * guest.h: runs shell scripts, or parts of the agent itself, in a VM through its agent (session.h): a
 * script, its words, a file to read, a file to fill. Blocks until the script has ended; Ctrl-C ends it.
 */
#ifndef BG_CLI_GUEST_H
#define BG_CLI_GUEST_H

#include "cli/cli.h"

struct guest {
	struct cli *cli;
	const char *name; /* of the VM; borrowed */
};

struct guest_script {
	const char *text;	  /* for /bin/sh, run as root */
	const char *kind;	  /* instead of text: the part of the agent that gets the words */
	const char *const *words; /* its $1, $2, ...; ends with NULL */
	int in, out;		  /* regular files; GUEST_NONE: nothing */
	uint64_t out_max;	  /* bytes that out may get */
};

enum { GUEST_NONE = -1, GUEST_WORDS_MAX = 32 };
#define GUEST_WORKSPACE "workspace" /* guest/workspace.h */

/*
 * Its exit status; *said (may be NULL) gets what it wrote on stderr, the caller's. -errno with the
 * daemon's or the agent's error when it could not be run, CANCELLED when the user ended it.
 */
int guest_run(
	const struct guest *g, const struct guest_script *s, char **said, struct bg_err **err);

#endif
