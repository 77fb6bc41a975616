/* SPDX-License-Identifier: ISC */
/*
 * shelf.c: A list in memory, ordered by name, with the store's rows behind it. A folder goes to
 * the trash before its row goes.
 */
#include "daemon/asset/shelf.h"

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
	void *other; /* see shelf_propose; NULL: none */
};

struct shelf {
	struct engine *engine;
	const struct shelf_kind *kind;
	struct entry *first; /* ordered by name */
};

int shelf_new(struct engine *engine, const struct shelf_kind *kind, struct shelf **ret,
	struct bg_err **err)
{
	struct shelf *shelf = calloc(1, sizeof(*shelf));

	if (!shelf)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	shelf->engine = engine;
	shelf->kind = kind;
	*ret = shelf;
	return 0;
}

static void forget(struct shelf *shelf, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	shelf->kind->row_free(e->row);
	if (e->other)
		shelf->kind->row_free(e->other);
	free(e);
}

void shelf_free(struct shelf *shelf)
{
	if (!shelf)
		return;
	while (shelf->first)
		forget(shelf, &shelf->first);
	free(shelf);
}

int shelf_add(struct shelf *shelf, void *row, struct bg_err **err)
{
	struct entry *e = calloc(1, sizeof(*e)), **at = &shelf->first;

	if (!e) {
		shelf->kind->row_free(row);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	e->row = row;
	while (*at && strcmp(shelf->kind->name((*at)->row), shelf->kind->name(row)) < 0)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
	return 0;
}

static struct entry **place_of(struct shelf *shelf, const char *name)
{
	struct entry **at = &shelf->first;

	while (*at && !bg_streq(shelf->kind->name((*at)->row), name))
		at = &(*at)->next;
	return at;
}

static struct entry *find_entry(const struct shelf *shelf, const char *name)
{
	struct entry *e = shelf->first;

	while (e && !bg_streq(shelf->kind->name(e->row), name))
		e = e->next;
	return e;
}

void *shelf_find(const struct shelf *shelf, const char *name)
{
	const struct entry *e = find_entry(shelf, name);

	return e ? e->row : NULL;
}

void *shelf_find_other(const struct shelf *shelf, const char *name)
{
	const struct entry *e = find_entry(shelf, name);

	return e ? e->other : NULL;
}

int shelf_get(const struct shelf *shelf, const char *name, void **ret, struct bg_err **err)
{
	void *row = shelf_find(shelf, name);

	if (!row || !shelf->kind->ready(row))
		return bg_err_set(err, shelf->kind->not_found, ENOENT,
			"there is no %s named \"%s\"", shelf->kind->noun, name);
	*ret = row;
	return 0;
}

int shelf_check_free(const struct shelf *shelf, const char *name, struct bg_err **err)
{
	if (!shelf_find(shelf, name))
		return 0;
	return bg_err_set(err, shelf->kind->name_taken, EEXIST,
		"there is already %s %s named \"%s\"",
		strchr("aeiou", shelf->kind->noun[0]) ? "an" : "a", shelf->kind->noun, name);
}

static void *next(const struct shelf *shelf, const void *row, bool ready)
{
	const struct entry *e = shelf->first;

	while (row && e && e->row != row)
		e = e->next;
	if (row && e)
		e = e->next;
	while (e && shelf->kind->ready(e->row) != ready)
		e = e->next;
	return e ? e->row : NULL;
}

void *shelf_next(const struct shelf *shelf, const void *row)
{
	return next(shelf, row, true);
}

void *shelf_next_unfinished(const struct shelf *shelf, const void *row)
{
	return next(shelf, row, false);
}

char *shelf_dir(const struct shelf *shelf, const char *name)
{
	char *dir = NULL;

	return asprintf(&dir, "%s/%s/%s", shelf->engine->paths->state_dir, shelf->kind->folder,
		       name) < 0
		       ? NULL
		       : dir;
}

static char *new_folder(const char *dir)
{
	char *path = NULL;

	return asprintf(&path, "%s/" NEW_FOLDER, dir) < 0 ? NULL : path;
}

int shelf_make_dir(const struct shelf *shelf, const char *name, char **ret, struct bg_err **err)
{
	_free_ char *dir = shelf_dir(shelf, name);
	int r;

	if (!dir)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_paths_private_dir(dir, err);
	if (r >= 0 && shelf_find_other(shelf, name)) {
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

static bool row_names(const struct shelf *shelf, void *row, const char *path)
{
	char **files[KEEP_FILES_MAX];
	size_t n = row ? shelf->kind->files(row, files) : 0;

	for (size_t i = 0; i < n; i++)
		if (*files[i] && bg_streq(*files[i], path))
			return true;
	return false;
}

unsigned shelf_naming(const struct shelf *shelf, const char *path)
{
	unsigned users = 0;

	for (const struct entry *e = shelf->first; e; e = e->next)
		users += (unsigned)row_names(shelf, e->row, path) +
			 (unsigned)row_names(shelf, e->other, path);
	return users;
}

/* A row that is in no entry any more goes, and then those of its files that no other one has. */
static void let_go(struct shelf *shelf, void *row)
{
	char **files[KEEP_FILES_MAX], *paths[KEEP_FILES_MAX];
	size_t n = shelf->kind->files(row, files);

	for (size_t i = 0; i < n; i++)
		paths[i] = TAKE_PTR(*files[i]);
	shelf->kind->row_free(row);
	for (size_t i = 0; i < n; i++) {
		if (paths[i])
			keep_drop(shelf->engine, paths[i]);
		free(paths[i]);
	}
}

static void forget_files(struct shelf *shelf, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	let_go(shelf, e->row);
	if (e->other)
		let_go(shelf, e->other);
	free(e);
}

/* ---- one that replaces another ---- */

void shelf_propose(struct shelf *shelf, void *row)
{
	struct entry *e = find_entry(shelf, shelf->kind->name(row));

	assert(e && !e->other);
	e->other = row;
}

void *shelf_swap(struct shelf *shelf, const char *name)
{
	struct entry *e = find_entry(shelf, name);
	void *row;

	assert(e && e->other);
	row = e->other;
	e->other = e->row;
	e->row = row;
	return row;
}

/* What was made for a row that is not to be any more. */
static void drop_new_folder(struct shelf *shelf, const char *name)
{
	_free_ char *dir = shelf_dir(shelf, name), *path = dir ? new_folder(dir) : NULL;

	if (!path || access(path, F_OK) < 0)
		return;
	log_msg(LOG_DEBUG, shelf->kind->noun, "what was made to replace it is removed", "name",
		name, NULL);
	(void)trash_throw(shelf->engine->trash, path);
}

void shelf_withdraw(struct shelf *shelf, const char *name)
{
	struct entry *e = find_entry(shelf, name);

	if (!e || !e->other)
		return;
	let_go(shelf, TAKE_PTR(e->other));
	drop_new_folder(shelf, name);
}

int shelf_drop(struct shelf *shelf, const char *name, struct bg_err **err)
{
	_free_ char *dir = shelf_dir(shelf, name);
	struct store *store = shelf->engine->store;
	struct entry **at;
	int r = dir ? trash_throw(shelf->engine->trash, dir) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "remove %s", dir ? dir : name);
	store_sync_folder(store, "trash");
	store_sync_folder(store, shelf->kind->folder);
	shelf->kind->store_drop(store, name);
	events_publish(shelf->engine->events, shelf->kind->noun, "deleted", name, json_null());
	at = place_of(shelf, name);
	if (*at)
		forget_files(shelf, at);
	return 0;
}

int shelf_drop_unfinished(struct shelf *shelf, struct bg_err **err)
{
	struct entry *following;

	for (struct entry *e = shelf->first; e; e = following) {
		_free_ char *name = strdup(shelf->kind->name(e->row));
		int r;

		following = e->next;
		if (!name)
			continue;
		if (shelf->kind->ready(e->row)) {
			drop_new_folder(shelf, name);
			continue;
		}
		log_msg(LOG_WARN, shelf->kind->noun, "what an interrupted job left is removed",
			"name", name, NULL);
		r = shelf_drop(shelf, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}
