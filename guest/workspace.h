/* SPDX-License-Identifier: ISC */
/*
 * workspace.h: the guest's part of a checkout's copy (docs/workspace.md): what `vm workspace` and
 * `vm run` ask the agent for, as BG_AGENT_K_WORKSPACE. Runs in the session's own process and needs no
 * program of the image. Beside a copy /root/repo lies /root/.banger/repo: the record of what was
 * brought ("manifest"), which this only keeps and the CLI reads, and what is just being received ("stage").
 */
#ifndef BG_GUEST_WORKSPACE_H
#define BG_GUEST_WORKSPACE_H

#include "common/err.h"

/*
 * argv is a verb and its words; PATH is the copy, TOKEN the end of the record that the caller knows. The
 * exit status; errors are said on stderr.
 *
 *   look PATH TOKEN      says "nothing", "empty", "folder" or "other"; "none", "git" (there is a .git) or
 *                        "kept" (HEAD, its branch and the index are the files that were put there);
 *                        "same" (the record ends with TOKEN), "none", or "record" and then the record
 *   check PATH           stdin: names, each ends with NUL; says the state of each (copy_state.h), a line each
 *   put PATH TOKEN go    stdin: a tar stream. Received whole beside the copy; says the states of the files that it
 *                        touches; puts it in place and says "done", or "held" when something would be lost
 *   put PATH TOKEN hold  the same, but always "held"
 *   commit PATH TOKEN    what is held is put in place; stdin: names that are removed before
 *   drop PATH            what is held is removed
 *
 * The stream has the members tree/..., which is what comes; check ("BEFORE NOW ./name", each with NUL), put,
 * delete, rmdir, dirs (names in tree, each with NUL); manifest (a whole record) or delta (appended to
 * the record that ends with TOKEN); git, an empty one, when git's state is among what comes; end, without
 * which it is not whole.
 */
int workspace_run(const char *const *argv);

/* Says what is at each name of the copy (tree, or -1: there is none), a line each; workspace_judge.c. */
int workspace_states(int tree, const char *names, size_t len, struct bg_err **err);
/* The same for lines of check; *loses: putting what came in place would lose something. */
int workspace_judge(int tree, const char *text, size_t len, bool *loses, struct bg_err **err);

struct place {
	const char *path; /* of the copy */
	int side;	  /* the folder beside it */
	const char *token;
	const char *lost; /* names that go first, each with NUL */
	size_t lost_len;
};

/* From the stage into the copy, then the record; workspace_place.c. Takes the stage away. */
int workspace_place(const struct place *p, struct bg_err **err);
/* All that from has yet, to the end; 0 or -errno. */
int workspace_copy_content(int from, int to);
/* Whether the record beside a copy ends with this token. */
bool workspace_token_fits(int side, const char *token);

/* Whether git's state in the copy is what was put there, and that it now is; workspace_stamp.c. */
bool workspace_stamp_fits(int side, const char *path);
int workspace_stamp_keep(int side, const char *path);

/* For each name in text; -errno or the first error of f. */
int workspace_names(const char *text, size_t len,
	int (*f)(void *userdata, const char *name, struct bg_err **err), void *userdata,
	struct bg_err **err);

enum { WORKSPACE_LIST_MAX = 256 * 1024 * 1024 }; /* bytes of one list of names */

#endif
