/* SPDX-License-Identifier: ISC */
#include <time.h>

#include "daemon/store/db.h"

#define KEEP_ENDED "200"

static const struct {
	const char *name;
	const char *sql;
} statements[] = {
	[OP_BEGIN] = {"op.begin",
		"INSERT INTO op (kind, target, state, began_at) VALUES (?1, ?2, 'running', ?3)"},
	[OP_END] = {"op.end",
		"UPDATE op SET state = ?2, error_json = ?3, ended_at = ?4 WHERE id = ?1"},
	[OP_PRUNE] = {"op.prune",
		"DELETE FROM op WHERE ended_at IS NOT NULL AND id NOT IN (SELECT id FROM op"
		" WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT " KEEP_ENDED ")"},
	[OP_UNFINISHED] = {"op.unfinished",
		"SELECT id, kind, target FROM op WHERE ended_at IS NULL ORDER BY id"},
};
static_assert(ARRAY_SIZE(statements) == OP_STMT_MAX_, "one row per statement");

int op_prepare(struct store *store, struct bg_err **err)
{
	int r = 0;

	for (unsigned i = 0; i < OP_STMT_MAX_ && r >= 0; i++)
		r = store_prepare(
			store->db, statements[i].name, statements[i].sql, &store->op[i], err);
	return r;
}

static int step(struct store *store, enum op_stmt which, struct bg_err **err)
{
	return store_step_done(store, store->op[which], statements[which].name, err);
}

int store_op_begin(struct store *store, const char *kind, const char *target, int64_t *ret_id,
	struct bg_err **err)
{
	sqlite3_stmt *stmt = store->op[OP_BEGIN];
	int r;

	sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, target, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, time(NULL));
	r = step(store, OP_BEGIN, err);
	if (r < 0)
		return r;
	*ret_id = sqlite3_last_insert_rowid(store->db);
	return 0;
}

int store_op_end(struct store *store, int64_t id, const char *state, const char *error_json,
	struct bg_err **err)
{
	sqlite3_stmt *stmt = store->op[OP_END];
	int r;

	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_text(stmt, 2, state, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, error_json, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 4, time(NULL));
	r = step(store, OP_END, err);
	if (r < 0)
		return r;
	if (sqlite3_changes(store->db) == 0)
		return bg_err_set(err, BG_ERR_OP_NOT_FOUND, ENOENT, "there is no operation %lld",
			(long long)id);
	return step(store, OP_PRUNE, err);
}

/* An operation read from the table, before the callback may change it. */
struct op {
	int64_t id;
	char *kind, *target;
	struct op *next;
};

static void op_list_free(struct op *op)
{
	while (op) {
		struct op *next = op->next;

		free(op->kind);
		free(op->target);
		free(op);
		op = next;
	}
}
BG_DEFINE_UNREF(op_list, struct op *, op_list_free)

static int read_op(sqlite3_stmt *stmt, struct op **ret)
{
	const char *kind = (const char *)sqlite3_column_text(stmt, 1);
	const char *target = (const char *)sqlite3_column_text(stmt, 2);
	_unref_(op_list) struct op *op = calloc(1, sizeof(*op));

	if (!op || !kind || !target)
		return -ENOMEM;
	op->id = sqlite3_column_int64(stmt, 0);
	op->kind = strdup(kind);
	op->target = strdup(target);
	if (!op->kind || !op->target)
		return -ENOMEM;
	*ret = TAKE_PTR(op);
	return 0;
}

static int read_unfinished(struct store *store, struct op **ret, struct bg_err **err)
{
	sqlite3_stmt *stmt = store->op[OP_UNFINISHED];
	struct op **last = ret;
	int rc, r = 0;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && r >= 0) {
		r = read_op(stmt, last);
		if (r >= 0)
			last = &(*last)->next;
	}
	if (r < 0)
		bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	else if (rc != SQLITE_DONE)
		r = store_error(store->db, statements[OP_UNFINISHED].name, rc, err);
	sqlite3_reset(stmt);
	return r;
}

int store_op_each_unfinished(struct store *store,
	int (*fn)(int64_t id, const char *kind, const char *target, void *userdata), void *userdata,
	struct bg_err **err)
{
	_unref_(op_list) struct op *ops = NULL;
	int r;

	r = read_unfinished(store, &ops, err);
	for (const struct op *op = ops; op && r >= 0; op = op->next)
		r = fn(op->id, op->kind, op->target, userdata);
	return r;
}
