/* SPDX-License-Identifier: ISC */
/*
 * workspace_there.h: what the guest tells of a checkout's copy: asked of the agent
 * (guest/workspace.h), and, for git's state, of the git there. The record of what was brought is
 * fetched only when it is not the one that this machine remembers (workspace_memory.h).
 */
#ifndef BG_CLI_WORKSPACE_THERE_H
#define BG_CLI_WORKSPACE_THERE_H

#include "cli/guest.h"
#include "cli/workspace.h"

struct ws_there {
	enum { WS_NOTHING, WS_EMPTY, WS_FOLDER, WS_OTHER } kind;
	bool repo; /* it has a .git */
	bool kept; /* and git's state is as it was brought */
	struct ws_manifest manifest;
	/* after ws_look_git */
	bool has_git; /* git runs there, so that git holds */
	struct ws_git git;
};

/* Release with ws_manifest_done(&ret->manifest). */
int ws_look(
	const struct guest *g, const char *guest_path, struct ws_there *ret, struct bg_err **err);
/* For one that has a .git: its HEAD, branch and index. Three runs of git: not for nothing. */
int ws_look_git(
	const struct guest *g, const char *guest_path, struct ws_there *ret, struct bg_err **err);
/* States of count files below guest_path, whose names are in a file of "./name"s with NUL. */
int ws_check(const struct guest *g, const char *guest_path, int names, size_t count,
	struct bg_copy_state *ret, struct bg_err **err);
/* Runs a script, or a verb of the agent's, that must succeed; its output, at most 256 MiB. */
int ws_script(const struct guest *g, const char *what, const struct guest_script *s, char **ret,
	size_t *len, struct bg_err **err);
/* The error when what it told makes no sense. */
int ws_confused(const struct guest *g, const char *what, struct bg_err **err);

#endif
