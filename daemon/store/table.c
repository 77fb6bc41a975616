/* SPDX-License-Identifier: ISC */
/*
 * Rows and statements made from column lists. The SQL text is put together once, at open; after
 * that only prepared statements run.
 */
#include <stdio.h>

#include "daemon/store/db.h"

static const struct table *const tables[] = {
	[TABLE_VM] = &store_table_vm,
	[TABLE_IMAGE] = &store_table_image,
	[TABLE_KERNEL] = &store_table_kernel,
};
static_assert(ARRAY_SIZE(tables) == TABLE_MAX_, "one row per table");

static const char *const verbs[] = {"insert", "save", "delete", "each"};
static_assert(ARRAY_SIZE(verbs) == VERB_MAX_, "one word per verb");

const struct table *store_table(enum table_id id)
{
	return tables[id];
}

enum print { PRINT_NAME = 1, PRINT_PARAM = 2, PRINT_ASSIGN = PRINT_NAME | PRINT_PARAM };

static void print_columns(FILE *f, const struct table *t, enum print what)
{
	for (unsigned i = 0; i < t->n_columns; i++) {
		if (i > 0)
			fputs(", ", f);
		if (what & PRINT_NAME)
			fputs(t->columns[i].name, f);
		if (what == PRINT_ASSIGN)
			fputs(" = ", f);
		if (what & PRINT_PARAM)
			fprintf(f, "?%u", i + 1);
	}
}

static void print_sql(FILE *f, const struct table *t, enum verb verb)
{
	switch (verb) {
	case VERB_INSERT:
		fprintf(f, "INSERT INTO %s (", t->name);
		print_columns(f, t, PRINT_NAME);
		fputs(") VALUES (", f);
		print_columns(f, t, PRINT_PARAM);
		fputs(")", f);
		break;
	case VERB_SAVE:
		fprintf(f, "UPDATE %s SET ", t->name);
		print_columns(f, t, PRINT_ASSIGN);
		fprintf(f, " WHERE %s = ?1", t->columns[0].name);
		break;
	case VERB_DELETE:
		fprintf(f, "DELETE FROM %s WHERE %s = ?1", t->name, t->columns[0].name);
		break;
	case VERB_EACH:
		fputs("SELECT ", f);
		print_columns(f, t, PRINT_NAME);
		fprintf(f, " FROM %s ORDER BY name", t->name);
		break;
	case VERB_MAX_:
		break;
	}
}

static void stmt_name(char *out, size_t size, const struct table *t, enum verb verb)
{
	snprintf(out, size, "%s.%s", t->name, verbs[verb]);
}

static int prepare_verb(struct store *store, enum table_id id, enum verb verb, struct bg_err **err)
{
	_free_ char *sql = NULL;
	size_t len;
	char what[32];
	FILE *f = open_memstream(&sql, &len);

	if (!f)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	print_sql(f, tables[id], verb);
	if (fclose(f) != 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	stmt_name(what, sizeof(what), tables[id], verb);
	return store_prepare(store->db, what, sql, &store->verb[id][verb], err);
}

int table_prepare(struct store *store, enum table_id id, struct bg_err **err)
{
	int r = 0;

	for (unsigned v = 0; v < VERB_MAX_ && r >= 0; v++)
		r = prepare_verb(store, id, (enum verb)v, err);
	return r;
}

static const void *at(const void *row, size_t offset)
{
	return (const char *)row + offset;
}

static int bind_column(sqlite3_stmt *stmt, int i, const struct column *c, const void *row)
{
	const void *p = at(row, c->offset);

	switch (c->kind) {
	case COLUMN_ID:
		return sqlite3_bind_text(stmt, i, p, -1, SQLITE_STATIC);
	case COLUMN_STR:
		return sqlite3_bind_text(stmt, i, *(char *const *)p, -1, SQLITE_STATIC);
	case COLUMN_INT:
		return sqlite3_bind_int64(stmt, i, *(const int *)p);
	case COLUMN_UINT:
		return sqlite3_bind_int64(stmt, i, *(const unsigned *)p);
	case COLUMN_U64:
		return sqlite3_bind_int64(stmt, i, (sqlite3_int64) * (const uint64_t *)p);
	case COLUMN_I64:
		return sqlite3_bind_int64(stmt, i, *(const int64_t *)p);
	case COLUMN_BOOL:
		return sqlite3_bind_int64(stmt, i, *(const bool *)p);
	}
	return SQLITE_MISUSE;
}

static int run_with_row(
	struct store *store, enum table_id id, enum verb verb, const void *row, struct bg_err **err)
{
	const struct table *t = tables[id];
	sqlite3_stmt *stmt = store->verb[id][verb];
	char what[32];
	int rc = SQLITE_OK;

	stmt_name(what, sizeof(what), t, verb);
	for (unsigned i = 0; i < t->n_columns && rc == SQLITE_OK; i++)
		rc = bind_column(stmt, (int)i + 1, &t->columns[i], row);
	if (rc != SQLITE_OK)
		return store_error(store->db, what, rc, err);
	return store_step_done(store, stmt, what, err);
}

static const char *row_name(const struct table *t, const void *row)
{
	return *(char *const *)at(row, t->name_offset);
}

/* Is it the name that a UNIQUE constraint refused? sqlite names the column: "vm.name". */
static bool name_was_taken(struct store *store, const struct table *t, const struct bg_err *err)
{
	char column[32];
	int rc = sqlite3_extended_errcode(store->db);

	snprintf(column, sizeof(column), "%s.name", t->name);
	return (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY) && err &&
	       strstr(err->message, column);
}

static int run_unique(struct store *store, enum table_id id, enum verb verb, const void *row,
	struct bg_err **ret_err)
{
	_err_ struct bg_err *err = NULL;
	const struct table *t = tables[id];
	int r;

	r = run_with_row(store, id, verb, row, &err);
	if (r >= 0)
		return r;
	if (name_was_taken(store, t, err))
		return bg_err_set(ret_err, t->taken, EEXIST, "there is already %s named \"%s\"",
			t->noun, row_name(t, row));
	if (ret_err)
		*ret_err = TAKE_PTR(err);
	return r;
}

int table_insert(struct store *store, enum table_id id, const void *row, struct bg_err **err)
{
	return run_unique(store, id, VERB_INSERT, row, err);
}

int table_save(struct store *store, enum table_id id, const void *row, struct bg_err **err)
{
	const struct table *t = tables[id];
	int r = run_unique(store, id, VERB_SAVE, row, err);

	if (r < 0)
		return r;
	if (sqlite3_changes(store->db) == 0)
		return bg_err_set(err, t->missing, ENOENT, "there is no %s named \"%s\"", t->name,
			row_name(t, row));
	return 0;
}

int table_delete(struct store *store, enum table_id id, const char *key, struct bg_err **err)
{
	sqlite3_stmt *stmt = store->verb[id][VERB_DELETE];
	char what[32];
	int rc;

	stmt_name(what, sizeof(what), tables[id], VERB_DELETE);
	rc = sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	if (rc != SQLITE_OK)
		return store_error(store->db, what, rc, err);
	return store_step_done(store, stmt, what, err);
}

static int read_str(sqlite3_stmt *stmt, int i, char **ret)
{
	const char *text = (const char *)sqlite3_column_text(stmt, i);

	if (!text)
		return sqlite3_column_type(stmt, i) == SQLITE_NULL ? 0 : -ENOMEM;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int read_column(sqlite3_stmt *stmt, int i, const struct column *c, void *row)
{
	void *p = (char *)row + c->offset;
	const char *text;

	switch (c->kind) {
	case COLUMN_ID:
		text = (const char *)sqlite3_column_text(stmt, i);
		snprintf(p, BG_ID_LEN + 1, "%s", text ? text : "");
		return 0;
	case COLUMN_STR:
		return read_str(stmt, i, p);
	case COLUMN_INT:
		*(int *)p = sqlite3_column_int(stmt, i);
		return 0;
	case COLUMN_UINT:
		*(unsigned *)p = (unsigned)sqlite3_column_int64(stmt, i);
		return 0;
	case COLUMN_U64:
		*(uint64_t *)p = (uint64_t)sqlite3_column_int64(stmt, i);
		return 0;
	case COLUMN_I64:
		*(int64_t *)p = sqlite3_column_int64(stmt, i);
		return 0;
	case COLUMN_BOOL:
		*(bool *)p = sqlite3_column_int(stmt, i) != 0;
		return 0;
	}
	return -EINVAL;
}

void table_row_free(enum table_id id, void *row)
{
	const struct table *t = tables[id];

	if (!row)
		return;
	for (unsigned i = 0; i < t->n_columns; i++)
		if (t->columns[i].kind == COLUMN_STR)
			free(*(char **)(void *)((char *)row + t->columns[i].offset));
	free(row);
}

static int read_row(sqlite3_stmt *stmt, enum table_id id, void **ret)
{
	const struct table *t = tables[id];
	void *row = calloc(1, t->row_size);
	int r = row ? 0 : -ENOMEM;

	for (unsigned i = 0; i < t->n_columns && r >= 0; i++)
		r = read_column(stmt, (int)i, &t->columns[i], row);
	if (r < 0) {
		table_row_free(id, row);
		return r;
	}
	*ret = row;
	return 0;
}

struct rows {
	void **row;
	size_t n, room;
};

static int rows_add(struct rows *rows, void *row)
{
	size_t room = rows->room ? rows->room * 2 : 16;
	void **p;

	if (rows->n == rows->room) {
		p = reallocarray(rows->row, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		rows->row = p;
		rows->room = room;
	}
	rows->row[rows->n++] = row;
	return 0;
}

static int read_all(sqlite3_stmt *stmt, enum table_id id, struct rows *rows, int *ret_rc)
{
	void *row = NULL;
	int r = 0;

	while (r >= 0 && (*ret_rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		r = read_row(stmt, id, &row);
		if (r < 0)
			break;
		r = rows_add(rows, row);
		if (r < 0)
			table_row_free(id, row);
	}
	return r;
}

int table_each(struct store *store, enum table_id id, int (*fn)(void *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	sqlite3_stmt *stmt = store->verb[id][VERB_EACH];
	struct rows rows = {0};
	int rc = SQLITE_DONE, r;
	char what[32];

	stmt_name(what, sizeof(what), tables[id], VERB_EACH);
	r = read_all(stmt, id, &rows, &rc);
	if (r < 0)
		bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	else if (rc != SQLITE_DONE)
		r = store_error(store->db, what, rc, err);
	sqlite3_reset(stmt);
	for (size_t i = 0; i < rows.n; i++) {
		if (r >= 0)
			r = fn(rows.row[i], userdata);
		else
			table_row_free(id, rows.row[i]);
	}
	free(rows.row);
	return r;
}
