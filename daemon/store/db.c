/* SPDX-License-Identifier: ISC */
#include "daemon/store/db.h"

#include <stdio.h>

/* sqlite waits so long for another process (someone with the sqlite3 shell) before it says busy. */
#define BUSY_MS 1000

/*
 * WAL: readers never block us, and a commit is one append. synchronous=NORMAL: a commit survives
 * the death of this process (kill -9 at any point), which is what the intent rows are for; a power
 * failure may lose the last commits but never the order or the file. No VMM survives a
 * power failure either, and files without a row are found by looking, so the fsync per commit that
 * FULL costs buys nothing here.
 */
static const char setup[] = "PRAGMA journal_mode = WAL;"
			    "PRAGMA synchronous = NORMAL;"
			    "PRAGMA foreign_keys = ON;"
			    "PRAGMA trusted_schema = OFF;"
			    "PRAGMA temp_store = MEMORY;"
			    "PRAGMA cache_size = -512;"
			    "PRAGMA journal_size_limit = 1048576;";

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_CANTOPEN:
		return EACCES;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return EUCLEAN;
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY
			       ? EEXIST
			       : EINVAL;
	default:
		return EIO;
	}
}

static void add_hint(int errnum, const char *file, struct bg_err **err)
{
	if (errnum == EUCLEAN)
		bg_err_hint(err, "stop the daemon and restore %s from a backup", file);
	else if (errnum == EROFS || errnum == EACCES)
		bg_err_hint(err, "make %s and its directory writable for you", file);
	else if (errnum == EBUSY)
		bg_err_hint(err, "end the other program that uses %s: `fuser %s`", file, file);
}

int store_error(sqlite3 *db, const char *what, int rc, struct bg_err **err)
{
	const char *file = db ? sqlite3_db_filename(db, "main") : NULL;
	int errnum = errno_of(rc);
	int r;

	r = bg_err_set(err, errnum == ENOSPC ? BG_ERR_NO_SPACE : BG_ERR_STATE, errnum,
		"database %s, %s: %s", bg_isempty(file) ? "?" : file, what,
		db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	if (!bg_isempty(file))
		add_hint(errnum, file, err);
	return r;
}

int store_prepare(
	sqlite3 *db, const char *what, const char *sql, sqlite3_stmt **ret, struct bg_err **err)
{
	int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : store_error(db, what, rc, err);
}

int store_step_done(struct store *store, sqlite3_stmt *stmt, const char *what, struct bg_err **err)
{
	int rc = sqlite3_step(stmt);
	int r = rc == SQLITE_DONE ? 0 : store_error(store->db, what, rc, err);

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return r;
}

BG_DEFINE_UNREF(stmt, sqlite3_stmt *, sqlite3_finalize)

static int open_db(const char *path, sqlite3 **ret, struct bg_err **err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;
	int rc, r;

	rc = sqlite3_open_v2(path, ret, flags, NULL);
	if (rc != SQLITE_OK) {
		r = bg_err_set(err, BG_ERR_STATE, errno_of(rc), "open the database %s: %s", path,
			*ret ? sqlite3_errmsg(*ret) : sqlite3_errstr(rc));
		add_hint(errno_of(rc), path, err);
		return r;
	}
	/* sqlite falls back to reading silently, and would fail at the first change. */
	if (sqlite3_db_readonly(*ret, "main") == 1) {
		r = bg_err_set(err, BG_ERR_STATE, EROFS, "the database %s is readonly", path);
		add_hint(EROFS, path, err);
		return r;
	}
	sqlite3_busy_timeout(*ret, BUSY_MS);
	rc = sqlite3_exec(*ret, setup, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_error(*ret, "open", rc, err);
}

/* A file that is damaged inside shows here, at the start, and not in the middle of a create. */
static int check(sqlite3 *db, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	int rc, r;

	r = store_prepare(db, "check", "PRAGMA quick_check(1)", &stmt, err);
	if (r < 0)
		return r;
	rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		return store_error(db, "check", rc, err);
	if (bg_streq((const char *)sqlite3_column_text(stmt, 0), "ok"))
		return 0;
	r = bg_err_set(err, BG_ERR_STATE, EUCLEAN, "the database %s is damaged: %s",
		sqlite3_db_filename(db, "main"), (const char *)sqlite3_column_text(stmt, 0));
	add_hint(EUCLEAN, sqlite3_db_filename(db, "main"), err);
	return r;
}

int store_open(const char *path, struct store **ret, struct bg_err **err)
{
	_unref_(store) struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = open_db(path, &store->db, err);
	if (r >= 0)
		r = check(store->db, err);
	if (r >= 0)
		r = store_migrate(store->db, store_migrations, store_n_migrations, err);
	for (unsigned t = 0; t < TABLE_MAX_ && r >= 0; t++)
		r = table_prepare(store, (enum table_id)t, err);
	if (r >= 0)
		r = op_prepare(store, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(store);
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (unsigned t = 0; t < TABLE_MAX_; t++)
		for (unsigned v = 0; v < VERB_MAX_; v++)
			sqlite3_finalize(store->verb[t][v]);
	for (unsigned i = 0; i < OP_STMT_MAX_; i++)
		sqlite3_finalize(store->op[i]);
	sqlite3_close(store->db);
	free(store);
}
