/* SPDX-License-Identifier: ISC */
/*
 * workspace.h: a checkout of this machine and its copy in a guest. Three states are compared,
 * file by file: what was brought there last (the manifest, kept in the guest beside the copy), what
 * is here now, what is there now. Only what changed here travels; what changed there is never
 * lost without --force. Nothing here ever writes into the checkout.
 */
#ifndef BG_CLI_WORKSPACE_H
#define BG_CLI_WORKSPACE_H

#include <jansson.h>

#include "cli/git.h"
#include "common/copy_state.h"

#define WS_GUEST_PATH "/root/repo"

enum ws_mode { WS_SHALLOW, WS_FULL_COPY };

/*
 * A file, a symbolic link, or a directory that is to be there although nothing in it travels. Only
 * in the text of a manifest: one that is not part of the copy any more.
 */
enum ws_type { WS_FILE = 'f', WS_LINK = 'l', WS_DIR = 'd', WS_GONE = '-' };

struct ws_file {
	char *path;
	enum ws_type type;
	uint32_t mode; /* permission bits */
	uint64_t size, ino;
	int64_t mtime, ctime;	  /* ns; both 0 when a later change might not show in them */
	char hash[BG_SHA256_HEX]; /* of content or link target; "" while not known */
	unsigned round; /* while a manifest is read: of two with one path the later holds */
};

/* Sorted by path, no path twice. Owns the paths. */
struct ws_list {
	struct ws_file *files;
	size_t count, room;
};

/* path is taken, also on failure. -ENOMEM. */
int ws_list_add(struct ws_list *list, const struct ws_file *file);
void ws_list_sort(struct ws_list *list);
struct ws_file *ws_list_find(const struct ws_list *list, const char *path);
void ws_list_done(struct ws_list *list);

/* What git in a work tree says: of here, and of there. */
struct ws_git {
	char head[GIT_OID_MAX];	   /* "" before the first commit */
	char branch[512];	   /* "refs/heads/main", or "" */
	char index[BG_SHA256_HEX]; /* of `git ls-files -z --stage`; "" when not known */
};

bool ws_git_equal(const struct ws_git *a, const struct ws_git *b);

struct ws_filter; /* workspace_state.h */

/* What is here. */
struct ws_tree {
	struct git_repo repo;
	enum ws_mode mode;
	bool untracked;
	struct ws_list list;
	struct ws_git git;
	char *index; /* WS_SHALLOW only: `git ls-files -z --stage`, as it is */
	size_t index_len;
	/* paths that git leaves aside in the work tree (skip-worktree); each ends with NUL */
	char *sparse;
	char *assumed;	/* paths that git takes for unchanged, the same */
	char *intended; /* paths that are to be added (git add -N), the same */
	size_t sparse_len, assumed_len, intended_len;
	/* workspace_state.h */
	char *heads;	  /* commits of a merge in progress, a line each; NULL: none */
	const char *busy; /* what else is in progress, which cannot go along */
	struct ws_filter *filters;
	char *filtered; /* "filter", "path" by turns, each with NUL */
	size_t filter_count, filtered_len;
	char state[BG_SHA256_HEX];
	bool empty;		/* some tracked file has no content in the index */
	size_t submodules, odd; /* odd: neither files, links nor directories; nested checkouts */
	int fd;			/* of the work tree's root */
};

/* Reads names and stat of all that belongs there; no content. Release with ws_tree_done always. */
int ws_tree_scan(const char *path, enum ws_mode mode, bool untracked, struct ws_tree *ret,
	struct bg_err **err);
void ws_tree_done(struct ws_tree *tree);
/* Opens a file of the list for reading, through no link; file's stat is renewed. -errno. */
int ws_tree_open(const struct ws_tree *tree, struct ws_file *file);
/* Link target (the caller's) or, for a file, NULL; fills file->hash. -errno. */
int ws_tree_hash(const struct ws_tree *tree, struct ws_file *file);
char *ws_tree_readlink(const struct ws_tree *tree, const char *path);
/* Whether a file or link is at path, looked for through no link. */
bool ws_tree_has_file(const struct ws_tree *tree, const char *path);

/* What was brought. */
struct ws_manifest {
	bool there; /* there was one */
	enum ws_mode mode;
	char *host; /* root of the work tree that it came from */
	struct ws_git git;
	char *shallow; /* every commit that was brought, a line each: what .git/shallow is */
	struct ws_list list;
	char state[BG_SHA256_HEX]; /* of all else that git goes by; "": not known */
	char token[BG_SHA256_HEX]; /* what its text ends with, and stands for all of it */
	bool torn;		   /* what followed was cut off, and not read */
	size_t len, first_len;	   /* of its text; of the text's first section */
};

/* -EBADMSG when it is none. Release with ws_manifest_done always. */
int ws_manifest_parse(const char *text, size_t len, struct ws_manifest *ret);
/* All of it, the caller's; NULL when out of memory. Sets token and sizes. */
char *ws_manifest_print(struct ws_manifest *m, size_t *len);
/* Whether now can be said by what is added to before. */
bool ws_manifest_extends(const struct ws_manifest *before, const struct ws_manifest *now);
/* What is to be added to the text of before; as ws_manifest_print. */
char *ws_manifest_print_changes(
	const struct ws_manifest *before, struct ws_manifest *now, size_t *len);
void ws_manifest_done(struct ws_manifest *m);

/* What is to be done. Pointers are borrowed from tree and manifest. */
struct ws_plan {
	struct ws_file **put; /* changed here: travel */
	size_t put_count;
	const struct ws_file **gone; /* deleted here */
	size_t gone_count;
	const struct ws_file *
		*kept; /* not of the set any more, but still here: left in the guest */
	size_t kept_count;
	size_t same;
	bool restat; /* the manifest's stat is out of date, its content is not */
	bool git;    /* git's metadata travel */
};

/* Hashes what may have changed. Release with ws_plan_done always. */
int ws_plan_make(struct ws_tree *tree, const struct ws_manifest *m, struct ws_plan *ret,
	struct bg_err **err);
void ws_plan_done(struct ws_plan *plan);

/* Takes count states off *text, a line each, as the guest tells them. -EBADMSG. */
int ws_states_parse(const char **text, size_t count, struct bg_copy_state *ret);
/* What a file is when it is as here; NULL: nothing. */
struct bg_copy_state ws_state_of(const struct ws_file *f);

/* A name as it is when that is plain UTF-8, else in quotes with C's escapes; the caller's. */
char *ws_quote(const char *name);

#endif
