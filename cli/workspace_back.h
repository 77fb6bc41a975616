/* SPDX-License-Identifier: ISC */
/*
 * workspace_back.h: the way back: what was changed in a guest as a patch, what was committed there
 * as a branch here. Pull writes one branch and the objects it needs into the checkout's repository and nothing
 * else; what comes from the guest is checked in a repository of our own first.
 */
#ifndef BG_CLI_WORKSPACE_BACK_H
#define BG_CLI_WORKSPACE_BACK_H

#include "cli/workspace_sync.h"

struct ws_back {
	const char *name; /* of the VM */
	const char *path; /* of the checkout here; may be NULL for diff */
	const char *guest_path;
	bool force;
};

struct ws_pulled {
	char branch[128];	/* "banger/web" */
	char head[GIT_OID_MAX]; /* "" when there was nothing to bring */
	uint64_t commits;
};

int ws_pull(
	struct cli *cli, const struct ws_back *what, struct ws_pulled *ret, struct bg_err **err);
/* Prints the patch on cli->out. *changed: there was something to print. */
int ws_diff(struct cli *cli, const struct ws_back *what, bool *changed, struct bg_err **err);

#endif
