/* SPDX-License-Identifier: ISC */
/*
 * asset_table.h: what kernels and images have in common: rows with a name, ordered by it, each with a folder of its
 * own below the state directory. A row that is not ready is the intent of a job under way; those are dropped
 * at the next start.
 */
#ifndef BG_DAEMON_ASSET_ASSET_TABLE_H
#define BG_DAEMON_ASSET_ASSET_TABLE_H

#include "common/err.h"
#include "daemon/asset/content_store.h"

struct engine;
struct asset_table;
struct store;

struct asset_table_kind {
	const char *noun;   /* "kernel" */
	const char *folder; /* "kernels" */
	enum bg_err_code not_found, name_taken;
	const char *(*name)(const void *row);
	bool (*ready)(const void *row);
	void (*row_free)(void *row);
	void (*store_drop)(struct store *store, const char *name);
	/* Where the row has the paths of its files; how many. */
	size_t (*files)(void *row, char **ret[CONTENT_FILES_MAX]);
};

/* kind is borrowed: a constant. */
int asset_table_new(struct engine *engine, const struct asset_table_kind *kind,
	struct asset_table **ret, struct bg_err **err);
void asset_table_free(struct asset_table *table);
BG_DEFINE_UNREF(asset_table, struct asset_table *, asset_table_free)

/* row is taken, also on failure. */
int asset_table_add(struct asset_table *table, void *row, struct bg_err **err);
/* Borrowed; NULL when there is none. */
void *asset_table_find(const struct asset_table *table, const char *name);
/* A ready one, or the kind's not_found. */
int asset_table_get(
	const struct asset_table *table, const char *name, void **ret, struct bg_err **err);
/* What is to replace the one of this name, or was just replaced; borrowed, NULL when there is none. */
void *asset_table_find_other(const struct asset_table *table, const char *name);
/* The kind's name_taken when there is one, ready or not. */
int asset_table_check_free(const struct asset_table *table, const char *name, struct bg_err **err);
/* The ready row after this one, or the first for NULL; NULL at the end. */
void *asset_table_next(const struct asset_table *table, const void *row);
/* The same of those that are not ready. */
void *asset_table_next_unfinished(const struct asset_table *table, const void *row);
/* <state>/<folder>/<name>; the caller's, NULL when out of memory. */
char *asset_table_dir(const struct asset_table *table, const char *name);
/* As asset_table_dir, and makes it; a folder of its own in there for what is to replace the one that is listed. */
int asset_table_make_dir(
	const struct asset_table *table, const char *name, char **ret, struct bg_err **err);
/*
 * A row that is to replace the listed one of its name, which has none such; row is taken. It is in no list and not stored; its files count
 * as named. When it is complete asset_table_swap lists it in the place of the other, once more takes that back; the row that is listed
 * now is the caller's to post. asset_table_withdraw ends it: the one of both that is not listed goes, with its files. Until what
 * was posted is on the disk both are whole.
 */
void asset_table_propose(struct asset_table *table, void *row);
void *asset_table_swap(struct asset_table *table, const char *name);
void asset_table_withdraw(struct asset_table *table, const char *name);
/* How many rows, ready or not, name the file with this path. */
unsigned asset_table_naming(const struct asset_table *table, const char *path);
/*
 * Folder, stored row, entry, kept files. The row is to be stored as not ready before: then a crash at any point has the next start go
 * on with it. Posted only: op_commit says when it is on the disk.
 */
int asset_table_drop(struct asset_table *table, const char *name, struct bg_err **err);
/* At the start: rows that are not ready, and what was made for one that was to replace another. */
int asset_table_drop_unfinished(struct asset_table *table, struct bg_err **err);

#endif
