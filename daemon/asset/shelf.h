/* SPDX-License-Identifier: ISC */
/*
 * shelf.h: what kernels and images have in common: rows with a name, ordered by it, each with a folder of its
 * own below the state directory. A row that is not ready is the intent of a job under way; those are dropped
 * at the next start.
 */
#ifndef BG_DAEMON_ASSET_SHELF_H
#define BG_DAEMON_ASSET_SHELF_H

#include "common/err.h"
#include "daemon/asset/keep.h"

struct engine;
struct shelf;
struct store;

struct shelf_kind {
	const char *noun;   /* "kernel" */
	const char *folder; /* "kernels" */
	enum bg_err_code not_found, name_taken;
	const char *(*name)(const void *row);
	bool (*ready)(const void *row);
	void (*row_free)(void *row);
	void (*store_drop)(struct store *store, const char *name);
	/* Where the row has the paths of its files; how many. */
	size_t (*files)(void *row, char **ret[KEEP_FILES_MAX]);
};

/* kind is borrowed: a constant. */
int shelf_new(struct engine *engine, const struct shelf_kind *kind, struct shelf **ret,
	struct bg_err **err);
void shelf_free(struct shelf *shelf);
BG_DEFINE_UNREF(shelf, struct shelf *, shelf_free)

/* row is taken, also on failure. */
int shelf_add(struct shelf *shelf, void *row, struct bg_err **err);
/* Borrowed; NULL when there is none. */
void *shelf_find(const struct shelf *shelf, const char *name);
/* A ready one, or the kind's not_found. */
int shelf_get(const struct shelf *shelf, const char *name, void **ret, struct bg_err **err);
/* What is to replace the one of this name, or was just replaced; borrowed, NULL when there is none. */
void *shelf_find_other(const struct shelf *shelf, const char *name);
/* The kind's name_taken when there is one, ready or not. */
int shelf_check_free(const struct shelf *shelf, const char *name, struct bg_err **err);
/* The ready row after this one, or the first for NULL; NULL at the end. */
void *shelf_next(const struct shelf *shelf, const void *row);
/* The same of those that are not ready. */
void *shelf_next_unfinished(const struct shelf *shelf, const void *row);
/* <state>/<folder>/<name>; the caller's, NULL when out of memory. */
char *shelf_dir(const struct shelf *shelf, const char *name);
/* As shelf_dir, and makes it; a folder of its own in there for what is to replace the one that is listed. */
int shelf_make_dir(const struct shelf *shelf, const char *name, char **ret, struct bg_err **err);
/*
 * A row that is to replace the listed one of its name, which has none such; row is taken. It is in no list and not stored; its files count
 * as named. When it is complete shelf_swap lists it in the place of the other, once more takes that back; the row that is listed
 * now is the caller's to post. shelf_withdraw ends it: the one of both that is not listed goes, with its files. Until what
 * was posted is on the disk both are whole.
 */
void shelf_propose(struct shelf *shelf, void *row);
void *shelf_swap(struct shelf *shelf, const char *name);
void shelf_withdraw(struct shelf *shelf, const char *name);
/* How many rows, ready or not, name the file with this path. */
unsigned shelf_naming(const struct shelf *shelf, const char *path);
/*
 * Folder, stored row, entry, kept files. The row is to be stored as not ready before: then a crash at any point has the next start go
 * on with it. Posted only: op_commit says when it is on the disk.
 */
int shelf_drop(struct shelf *shelf, const char *name, struct bg_err **err);
/* At the start: rows that are not ready, and what was made for one that was to replace another. */
int shelf_drop_unfinished(struct shelf *shelf, struct bg_err **err);

#endif
