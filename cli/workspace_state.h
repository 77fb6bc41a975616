/* SPDX-License-Identifier: ISC */
/*
 * workspace_state.h: what of git's state is neither commit nor index: marks of files in the index, a merge in progress, the
 * sparse checkout's patterns, filters. All of it decides what git says and does in the copy, so it is brought along or said.
 */
#ifndef BG_CLI_WORKSPACE_STATE_H
#define BG_CLI_WORKSPACE_STATE_H

#include "cli/guest.h"
#include "cli/workspace.h"

struct ws_filter {
	char *name, *clean, *smudge, *process; /* NULL: not set */
	bool used, missing; /* a tracked file has it; its program is not in the guest */
};

/* Reads it all into tree->extra, and into the tree's index marks; after the index was read. */
int ws_extra_scan(struct ws_tree *tree, struct bg_err **err);
/* Asks the guest for the programs of the filters; files whose filter is missing there are marked as unchanged. */
int ws_extra_ask(const struct guest *g, struct ws_tree *tree, struct bg_err **err);
/* What the state is, for comparing it with what was brought: tree->state. After all of the above. */
void ws_extra_hash(struct ws_tree *tree);
void ws_extra_done(struct ws_tree *tree);

/* Files of .git that say what is in progress; those that are not there are not there in the guest either. */
extern const char *const ws_progress_files[];

#endif
