/* SPDX-License-Identifier: ISC */
/*
 * git.h: the user's own git, asked about their checkout. It never writes there (the one command
 * that does is named by its caller), runs no hook, no file system monitor, no filter, takes no
 * optional lock and reaches no network.
 */
#ifndef BG_CLI_GIT_H
#define BG_CLI_GIT_H

#include "common/err.h"

#define GIT_OID_MAX 65 /* 64 digits of SHA-256 and the NUL */

struct git_repo {
	char *top;		/* the work tree's root, absolute and without links */
	char *dir;		/* its own .git directory */
	char head[GIT_OID_MAX]; /* commit; "" before the first one */
	char *branch;		/* "refs/heads/main"; "" when HEAD is detached */
};

/* -ENOENT with NOT_CHECKOUT when path is in no checkout. Release with git_repo_done always. */
int git_find(const char *path, struct git_repo *ret, struct bg_err **err);
void git_repo_done(struct git_repo *repo);

struct git_call {
	const char *dir;	 /* where: -C */
	const char *const *argv; /* what follows "git"; ends with NULL */
	const char *const *env;	 /* as in child.h; may be NULL */
	int in, out;		 /* CHILD_NULL for none */
};

/* Status 0, or GIT with what git said. */
int git_run(const struct git_call *call, struct bg_err **err);
/* As above; its output, NUL-terminated, at most max bytes. call->out is not used. */
int git_text(const struct git_call *call, size_t max, char **ret, size_t *len, struct bg_err **err);
/* The first line of what it printed; *ret is NULL when it printed nothing or said no. */
int git_line(const char *dir, const char *const *argv, char **ret, struct bg_err **err);
/* Where a file of repo's .git directory is; *ret is the caller's, NULL when git did not say. */
int git_path(const struct git_repo *repo, const char *name, char **ret, struct bg_err **err);
/*
 * Makes a bare repository of our own in folder, where git may write; it sees the objects of repo.
 * *ret is its path, the caller's. Whoever made folder removes it.
 */
int git_own_repo(const struct git_repo *repo, const char *folder, char **ret, struct bg_err **err);
/*
 * What git complained of, its lines joined, without "fatal: " and the like and without advice; the caller's, NULL when
 * out of memory. said is changed, and may be NULL.
 */
char *git_complaint(char *said);
bool git_oid_valid(const char *oid);

#endif
