/* SPDX-License-Identifier: ISC */
/*
 * asset_table.c: A list in memory, ordered by name, with the store's rows behind it. A folder goes to
 * the trash before its row goes.
 */
#include "daemon/asset/asset_table.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>

#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

/* A row that is to replace the listed one is made here. */
#define NEW_FOLDER "new"

struct entry {
	struct entry *next;
	void *row;
	void *other; /* see asset_table_propose; NULL: none */
};

struct asset_table {
	struct engine *engine;
	const struct asset_table_kind *kind;
	struct entry *first; /* ordered by name */
};

int asset_table_new(struct engine *engine, const struct asset_table_kind *kind,
	struct asset_table **ret, struct bg_err **err)
{
	struct asset_table *table = calloc(1, sizeof(*table));

	if (!table)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	table->engine = engine;
	table->kind = kind;
	*ret = table;
	return 0;
}

static void forget(struct asset_table *table, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	table->kind->row_free(e->row);
	if (e->other)
		table->kind->row_free(e->other);
	free(e);
}

void asset_table_free(struct asset_table *table)
{
	if (!table)
		return;
	while (table->first)
		forget(table, &table->first);
	free(table);
}

int asset_table_add(struct asset_table *table, void *row, struct bg_err **err)
{
	struct entry *e = calloc(1, sizeof(*e)), **at = &table->first;

	if (!e) {
		table->kind->row_free(row);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	e->row = row;
	while (*at && strcmp(table->kind->name((*at)->row), table->kind->name(row)) < 0)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
	return 0;
}

static struct entry **place_of(struct asset_table *table, const char *name)
{
	struct entry **at = &table->first;

	while (*at && !bg_streq(table->kind->name((*at)->row), name))
		at = &(*at)->next;
	return at;
}

static struct entry *find_entry(const struct asset_table *table, const char *name)
{
	struct entry *e = table->first;

	while (e && !bg_streq(table->kind->name(e->row), name))
		e = e->next;
	return e;
}

void *asset_table_find(const struct asset_table *table, const char *name)
{
	const struct entry *e = find_entry(table, name);

	return e ? e->row : NULL;
}

void *asset_table_find_other(const struct asset_table *table, const char *name)
{
	const struct entry *e = find_entry(table, name);

	return e ? e->other : NULL;
}

int asset_table_get(
	const struct asset_table *table, const char *name, void **ret, struct bg_err **err)
{
	void *row = asset_table_find(table, name);

	if (!row || !table->kind->ready(row))
		return bg_err_set(err, table->kind->not_found, ENOENT,
			"there is no %s named \"%s\"", table->kind->noun, name);
	*ret = row;
	return 0;
}

int asset_table_check_free(const struct asset_table *table, const char *name, struct bg_err **err)
{
	if (!asset_table_find(table, name))
		return 0;
	return bg_err_set(err, table->kind->name_taken, EEXIST,
		"there is already %s %s named \"%s\"",
		strchr("aeiou", table->kind->noun[0]) ? "an" : "a", table->kind->noun, name);
}

static void *next(const struct asset_table *table, const void *row, bool ready)
{
	const struct entry *e = table->first;

	while (row && e && e->row != row)
		e = e->next;
	if (row && e)
		e = e->next;
	while (e && table->kind->ready(e->row) != ready)
		e = e->next;
	return e ? e->row : NULL;
}

void *asset_table_next(const struct asset_table *table, const void *row)
{
	return next(table, row, true);
}

void *asset_table_next_unfinished(const struct asset_table *table, const void *row)
{
	return next(table, row, false);
}

char *asset_table_dir(const struct asset_table *table, const char *name)
{
	char *dir = NULL;

	return asprintf(&dir, "%s/%s/%s", table->engine->paths->state_dir, table->kind->folder,
		       name) < 0
		       ? NULL
		       : dir;
}

static char *new_folder(const char *dir)
{
	char *path = NULL;

	return asprintf(&path, "%s/" NEW_FOLDER, dir) < 0 ? NULL : path;
}

int asset_table_make_dir(
	const struct asset_table *table, const char *name, char **ret, struct bg_err **err)
{
	_free_ char *dir = asset_table_dir(table, name);
	int r;

	if (!dir)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_paths_private_dir(dir, err);
	if (r >= 0 && asset_table_find_other(table, name)) {
		_free_ char *whole = TAKE_PTR(dir);

		dir = new_folder(whole);
		r = dir ? bg_paths_private_dir(dir, err)
			: bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(dir);
	return 0;
}

static bool row_names(const struct asset_table *table, void *row, const char *path)
{
	char **files[CONTENT_FILES_MAX];
	size_t n = row ? table->kind->files(row, files) : 0;

	for (size_t i = 0; i < n; i++)
		if (*files[i] && bg_streq(*files[i], path))
			return true;
	return false;
}

unsigned asset_table_naming(const struct asset_table *table, const char *path)
{
	unsigned users = 0;

	for (const struct entry *e = table->first; e; e = e->next)
		users += (unsigned)row_names(table, e->row, path) +
			 (unsigned)row_names(table, e->other, path);
	return users;
}

/* A row that is in no entry any more goes, and then those of its files that no other one has. */
static void let_go(struct asset_table *table, void *row)
{
	char **files[CONTENT_FILES_MAX], *paths[CONTENT_FILES_MAX];
	size_t n = table->kind->files(row, files);

	for (size_t i = 0; i < n; i++)
		paths[i] = TAKE_PTR(*files[i]);
	table->kind->row_free(row);
	for (size_t i = 0; i < n; i++) {
		if (paths[i])
			content_store_drop(table->engine, paths[i]);
		free(paths[i]);
	}
}

static void forget_files(struct asset_table *table, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	let_go(table, e->row);
	if (e->other)
		let_go(table, e->other);
	free(e);
}

/* ---- one that replaces another ---- */

void asset_table_propose(struct asset_table *table, void *row)
{
	struct entry *e = find_entry(table, table->kind->name(row));

	assert(e && !e->other);
	e->other = row;
}

void *asset_table_swap(struct asset_table *table, const char *name)
{
	struct entry *e = find_entry(table, name);
	void *row;

	assert(e && e->other);
	row = e->other;
	e->other = e->row;
	e->row = row;
	return row;
}

/* What was made for a row that is not to be any more. */
static void drop_new_folder(struct asset_table *table, const char *name)
{
	_free_ char *dir = asset_table_dir(table, name), *path = dir ? new_folder(dir) : NULL;

	if (!path || access(path, F_OK) < 0)
		return;
	log_msg(LOG_DEBUG, table->kind->noun, "what was made to replace it is removed", "name",
		name, NULL);
	(void)trash_throw(table->engine->trash, path);
}

void asset_table_withdraw(struct asset_table *table, const char *name)
{
	struct entry *e = find_entry(table, name);

	if (!e || !e->other)
		return;
	let_go(table, TAKE_PTR(e->other));
	drop_new_folder(table, name);
}

int asset_table_drop(struct asset_table *table, const char *name, struct bg_err **err)
{
	_free_ char *dir = asset_table_dir(table, name);
	struct store *store = table->engine->store;
	struct entry **at;
	int r = dir ? trash_throw(table->engine->trash, dir) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "remove %s", dir ? dir : name);
	store_sync_folder(store, "trash");
	store_sync_folder(store, table->kind->folder);
	table->kind->store_drop(store, name);
	events_publish(table->engine->events, table->kind->noun, "deleted", name, json_null());
	at = place_of(table, name);
	if (*at)
		forget_files(table, at);
	return 0;
}

int asset_table_drop_unfinished(struct asset_table *table, struct bg_err **err)
{
	struct entry *following;

	for (struct entry *e = table->first; e; e = following) {
		_free_ char *name = strdup(table->kind->name(e->row));
		int r;

		following = e->next;
		if (!name)
			continue;
		if (table->kind->ready(e->row)) {
			drop_new_folder(table, name);
			continue;
		}
		log_msg(LOG_WARN, table->kind->noun, "what an interrupted job left is removed",
			"name", name, NULL);
		r = asset_table_drop(table, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}
