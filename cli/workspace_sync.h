/* SPDX-License-Identifier: ISC */
/*
 * workspace_sync.h: brings a checkout into a guest, in two sessions of its agent
 * (guest/workspace.h): look (what is there), put (the archive into a folder beside the copy, then
 * the state of every file that is about to change, then into place). What would lose something is
 * held there, for the user to decide. Nothing of the copy changes before all has arrived.
 */
#ifndef BG_CLI_WORKSPACE_SYNC_H
#define BG_CLI_WORKSPACE_SYNC_H

#include "cli/cli.h"
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
	bool git;	    /* its metadata travelled */
	json_t *put, *gone; /* names */
	json_t *missing;    /* filters whose program is not in the guest */
	const char *busy;   /* what is in progress here and does not go along; NULL: nothing */
};

#define WS_MODE_HELP                                                                               \
	"shallow: tracked files and one commit; full_copy: everything there is, history and "      \
	"submodules too (shallow)"

/* What --mode says; NULL: shallow. USAGE. */
int ws_mode_parse(const char *mode, enum ws_mode *ret, struct bg_err **err);
int ws_sync(struct cli *cli, const struct ws_sync *what, struct ws_done *ret, struct bg_err **err);
void ws_done_free(struct ws_done *done);
/* Absolute, plain parts, not "/" itself: what the scripts can work with. USAGE. */
int ws_guest_path_check(const char *path, struct bg_err **err);
/* Says what was done, on t, in a line; warnings on cli->err. */
void ws_report(struct cli *cli, const struct term *t, const struct ws_sync *what,
	const struct ws_done *done);

#endif
