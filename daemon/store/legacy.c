/* SPDX-License-Identifier: ISC */
/* See legacy.h. */
#include "daemon/store/legacy.h"

#include <sqlite3.h>
#include <stdio.h>

#include "common/json.h"

enum { MARK_VERSION = 1000000, ELF_VERSION = 8 };

BG_DEFINE_UNREF(db, sqlite3 *, sqlite3_close)
BG_DEFINE_UNREF(stmt, sqlite3_stmt *, sqlite3_finalize)

static int failed(sqlite3 *db, const char *path, int rc, struct bg_err **err)
{
	int errnum = (rc & 0xff) == SQLITE_BUSY	      ? EBUSY
		     : (rc & 0xff) == SQLITE_CANTOPEN ? EACCES
						      : EUCLEAN;

	return bg_err_set(err, BG_ERR_STATE, errnum, "database %s: %s", path,
		db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

/* Exclusive, so that no shared memory is mapped. Its log is taken in by the first read. */
static int connect_to(const char *path, sqlite3 **ret, struct bg_err **err)
{
	int rc;

	if (access(path, F_OK) < 0)
		return bg_err_sys(err, BG_ERR_STATE, errno, "database %s", path);
	rc = sqlite3_open_v2(path, ret,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*ret,
			"PRAGMA locking_mode = EXCLUSIVE; PRAGMA mmap_size = 0;"
			"PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;",
			NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		sqlite3_db_config(*ret, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return rc == SQLITE_OK ? 0 : failed(*ret, path, rc, err);
}

static int read_version(sqlite3 *db, const char *path, int *ret, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		return failed(db, path, rc, err);
	*ret = sqlite3_column_int(stmt, 0);
	return 0;
}

static const struct column *find_column(const struct table *t, const char *name)
{
	for (unsigned i = 0; i < t->n_columns; i++)
		if (bg_streq(t->columns[i].name, name))
			return &t->columns[i];
	return NULL;
}

static json_t *value_of(const struct column *c, sqlite3_stmt *stmt, int i)
{
	const char *text;

	if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
		return json_null();
	if (c->kind == COLUMN_BOOL)
		return json_boolean(sqlite3_column_int(stmt, i) != 0);
	if (c->kind != COLUMN_ID && c->kind != COLUMN_STR)
		return json_integer(sqlite3_column_int64(stmt, i));
	text = (const char *)sqlite3_column_text(stmt, i);
	return text ? bg_json_str(text) : json_null();
}

/* Before version 8 the ELF file was always beside the boot image. */
static void add_elf(json_t *json, int version)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	const char *slash = path ? strrchr(path, '/') : NULL;
	_free_ char *elf = NULL;

	if (version < ELF_VERSION && bg_streq(slash, "/kernel") &&
		bg_streq(json_string_value(json_object_get(json, "format")), "bzimage") &&
		asprintf(&elf, "%.*s/vmlinux", (int)(slash - path), path) >= 0)
		json_object_set_new(json, "elf", bg_json_str(elf));
}

static int take_row(struct rows *rows, enum table_id table, sqlite3_stmt *stmt, int version)
{
	_json_ json_t *json = json_object();
	_free_ char *text = NULL;
	void *row = NULL;
	int r;

	for (int i = 0; i < sqlite3_column_count(stmt); i++) {
		const struct column *c =
			find_column(store_table(table), sqlite3_column_name(stmt, i));

		if (c)
			json_object_set_new(json, c->name, value_of(c, stmt, i));
	}
	if (table == TABLE_KERNEL)
		add_elf(json, version);
	r = table_from_json(table, json, &row);
	if (r < 0)
		return r;
	text = table_text(table, row, false);
	r = text ? 0 : -ENOMEM;
	if (r >= 0 && !rows_find(rows, table, table_key(table, row)))
		r = rows_put(rows, table, table_key(table, row), text, 1, NULL);
	table_row_free(table, row);
	return r;
}

static int read_table(sqlite3 *db, const char *path, struct rows *rows, enum table_id table,
	int version, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	_free_ char *sql = NULL;
	int rc, bad = 0;

	if (asprintf(&sql, "SELECT * FROM %s", store_table(table)->name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW && take_row(rows, table, stmt, version) < 0)
			bad++;
	}
	if (rc != SQLITE_DONE)
		return failed(db, path, rc, err);
	return bad ? bg_err_set(err, BG_ERR_STATE, EUCLEAN,
			     "database %s: %d rows of table %s are damaged", path, bad,
			     store_table(table)->name)
		   : 0;
}

static int check_pages(sqlite3 *db, const char *path, struct bg_err **err)
{
	_unref_(stmt) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		return failed(db, path, rc, err);
	if (bg_streq((const char *)sqlite3_column_text(stmt, 0), "ok"))
		return 0;
	return bg_err_set(err, BG_ERR_STATE, EUCLEAN, "database %s: %s", path,
		(const char *)sqlite3_column_text(stmt, 0));
}

int legacy_read(const char *path, struct rows *rows, struct bg_err **err)
{
	static const enum table_id tables[] = {TABLE_VM, TABLE_IMAGE, TABLE_KERNEL};
	_unref_(db) sqlite3 *db = NULL;
	int version = 0, r = connect_to(path, &db, err), worst;

	if (r >= 0)
		r = read_version(db, path, &version, err);
	if (r < 0)
		return r;
	if (version >= MARK_VERSION)
		return bg_err_set(err, BG_ERR_STATE, ENOENT, "%s is only a mark", path);
	worst = check_pages(db, path, err);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		r = read_table(db, path, rows, tables[i], version, worst < 0 ? NULL : err);
		worst = worst < 0 ? worst : r;
	}
	return worst;
}

void legacy_leave_mark(const char *path)
{
	_unref_(db) sqlite3 *db = NULL;
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", MARK_VERSION);
	if (sqlite3_open_v2(path, &db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) == SQLITE_OK)
		(void)sqlite3_exec(db, sql, NULL, NULL, NULL);
}
