/* SPDX-License-Identifier: ISC */
/*
 * workspace_sync.h: brings a checkout into a guest. Three scripts run there: look (what is there,
 * and the manifest), receive (the archive into a folder beside the copy, and the state of every file
 * that is about to change), commit (into place). Nothing of the copy changes before commit.
 */
#ifndef BG_CLI_WORKSPACE_SYNC_H
#define BG_CLI_WORKSPACE_SYNC_H

#include "cli/guest.h"
#include "cli/workspace.h"

struct ws_sync {
	const char *name; /* of the VM */
	const char *path; /* of the checkout here */
	const char *guest_path;
	enum ws_mode mode;
	bool untracked, force;
};

struct ws_done {
	char *host; /* the work tree's root */
	size_t sent, deleted, same, submodules, odd;
	uint64_t bytes, ms;
	char head[GIT_OID_MAX];
	bool git;	   /* its metadata travelled */
	json_t *put, *gone; /* names */
};

int ws_sync(struct cli *cli, const struct ws_sync *what, struct ws_done *ret, struct bg_err **err);
void ws_done_free(struct ws_done *done);
/* Absolute, plain parts, not "/" itself: what the scripts can work with. USAGE. */
int ws_guest_path_check(const char *path, struct bg_err **err);
/* Says what was done, on t, in a line; warnings on cli->err. */
void ws_report(struct cli *cli, const struct term *t, const struct ws_sync *what,
	const struct ws_done *done);

/* What the look script tells. */
struct ws_there {
	enum { WS_NOTHING, WS_EMPTY, WS_FOLDER, WS_OTHER } kind;
	bool repo;	/* it has a .git */
	bool has_git;	/* git runs there, so that git holds */
	struct ws_git git;
	struct ws_manifest manifest;
};

/* Release with ws_manifest_done(&ret->manifest). */
int ws_look(const struct guest *g, const char *guest_path, struct ws_there *ret, struct bg_err **err);
/* States of count files below guest_path, whose names are in a file of "./name"s with NUL. */
int ws_check(const struct guest *g, const char *guest_path, int names, size_t count,
	struct ws_state *ret, struct bg_err **err);
/* Runs a script that must succeed; its output, at most max bytes. */
int ws_script(const struct guest *g, const char *what, const struct guest_script *s, char **ret,
	size_t *len, struct bg_err **err);

#endif
