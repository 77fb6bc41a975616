/* SPDX-License-Identifier: ISC */
/*
 * workspace_pack.h: what is sent to a guest in one go: a tar archive in an unnamed file, with the
 * files of the copy under tree/ and, beside it, what the agent reads (guest/workspace.h): check
 * (all that is touched), put, delete, rmdir, dirs, and the new manifest or what is added to it.
 */
#ifndef BG_CLI_WORKSPACE_PACK_H
#define BG_CLI_WORKSPACE_PACK_H

#include <stdio.h>

#include "cli/tar_out.h"
#include "cli/workspace.h"

enum ws_names { WS_CHECK, WS_PUT, WS_DELETE, WS_RMDIR, WS_DIRS, WS_NAMES_MAX };

struct ws_pack {
	int fd; /* the archive */
	struct tar_out tar;
	struct {
		FILE *file;
		char *text;
		size_t len;
	} names[WS_NAMES_MAX];
	char *tmp;		 /* a directory for git's files; gone with the pack */
	struct ws_manifest next; /* as it will be in the guest */
	char *record;		 /* its text; with more: what is added to the one that is there */
	size_t record_len;
	bool more;
	const struct ws_file **before, **now; /* what is expected and put at each name of check */
	size_t check_count, check_room;
	uint64_t bytes; /* of the content that travels */
};

/*
 * A directory in cache_dir for what is too large for memory; those that killed bangers left there
 * are removed first. ws_tmp_remove removes and frees it; NULL is fine.
 */
int ws_tmp_make(const char *cache_dir, char **ret, struct bg_err **err);
void ws_tmp_remove(char *tmp);

/* cache_dir holds what is too large for memory. Release with ws_pack_done always. */
int ws_pack_open(const char *cache_dir, struct ws_pack *ret, struct bg_err **err);
void ws_pack_done(struct ws_pack *pack);
/* Adds "./path" to one of the lists. -ENOMEM. */
int ws_pack_name(struct ws_pack *pack, enum ws_names list, const char *path);
/* All that the plan says. fresh: there is no .git in the guest yet. */
int ws_pack_fill(struct ws_pack *pack, struct ws_tree *tree, const struct ws_manifest *m,
	const struct ws_plan *plan, bool fresh, struct bg_err **err);
/*
 * Git's metadata (workspace_git.c): objects that are not in the guest yet, index, HEAD, branch;
 * with fresh also settings. Sets next.shallow.
 */
int ws_pack_git(struct ws_pack *pack, const struct ws_tree *tree, const struct ws_manifest *m,
	bool fresh, struct bg_err **err);
/* One of git's files, by its name in .git, from memory or from a file of ours. */
int ws_pack_git_memory(struct ws_pack *pack, const char *name, const void *data, size_t len);
int ws_pack_git_file(struct ws_pack *pack, const char *name, const char *from, struct bg_err **err);
/* Lists, manifest (m is the one that is there) and end. The archive is then at its beginning. */
int ws_pack_end(struct ws_pack *pack, const struct ws_manifest *m, struct bg_err **err);

#endif
