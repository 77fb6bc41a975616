/* SPDX-License-Identifier: ISC */
/*
 * db.h: what the files of store/ share: the connection, its migrations, and rows as tables of
 * columns, from which insert, save and each are made alike. Included by store/ and its tests only.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <assert.h>
#include <sqlite3.h>

#include "daemon/store/store.h"

enum column_kind {
	COLUMN_ID,
	COLUMN_STR,
	COLUMN_INT,
	COLUMN_UINT,
	COLUMN_U64,
	COLUMN_I64,
	COLUMN_BOOL
};

struct column {
	const char *name;
	enum column_kind kind;
	size_t offset;
};

/* The C type that goes with each kind; COLUMN() below asserts it. */
typedef char column_id[BG_ID_LEN + 1];
#define COLUMN_TYPE_ID column_id
#define COLUMN_TYPE_STR char *
#define COLUMN_TYPE_INT int
#define COLUMN_TYPE_UINT unsigned
#define COLUMN_TYPE_U64 uint64_t
#define COLUMN_TYPE_I64 int64_t
#define COLUMN_TYPE_BOOL bool
#define COLUMN(row, field, kind)                                                                   \
	{                                                                                          \
#field, COLUMN_##kind,                                                             \
			offsetof(struct row, field) +                                              \
				0 * sizeof(char[__builtin_types_compatible_p(                      \
							__typeof__(((struct row *)0)->field),      \
							COLUMN_TYPE_##kind)                        \
							? 1                                        \
							: -1])                                     \
	}

enum verb { VERB_INSERT, VERB_SAVE, VERB_DELETE, VERB_EACH, VERB_MAX_ };

struct table {
	const char *name;	      /* also the noun in messages */
	const char *noun;	      /* "VM" */
	const struct column *columns; /* the first is the key */
	unsigned n_columns;
	size_t row_size;
	size_t name_offset; /* of the char * that must be unique */
	enum bg_err_code taken, missing;
};

enum table_id { TABLE_VM, TABLE_IMAGE, TABLE_KERNEL, TABLE_MAX_ };

enum op_stmt { OP_BEGIN, OP_END, OP_PRUNE, OP_UNFINISHED, OP_STMT_MAX_ };

struct store {
	sqlite3 *db;
	sqlite3_stmt *verb[TABLE_MAX_][VERB_MAX_];
	sqlite3_stmt *op[OP_STMT_MAX_];
};

extern const struct table store_table_vm, store_table_image, store_table_kernel;
const struct table *store_table(enum table_id id);

/* Numbered from 1: migration i brings the database to user_version i + 1. */
extern const char *const store_migrations[];
extern const unsigned store_n_migrations;
int store_migrate(sqlite3 *db, const char *const *migrations, unsigned n, struct bg_err **err);

/* what: the statement's name. rc: from sqlite; its words come from db. */
int store_error(sqlite3 *db, const char *what, int rc, struct bg_err **err);
int store_prepare(
	sqlite3 *db, const char *what, const char *sql, sqlite3_stmt **ret, struct bg_err **err);
/* Steps a statement that gives no row, and makes it ready for its next use. */
int store_step_done(struct store *store, sqlite3_stmt *stmt, const char *what, struct bg_err **err);

int table_prepare(struct store *store, enum table_id id, struct bg_err **err);
int table_insert(struct store *store, enum table_id id, const void *row, struct bg_err **err);
int table_save(struct store *store, enum table_id id, const void *row, struct bg_err **err);
int table_delete(struct store *store, enum table_id id, const char *key, struct bg_err **err);
/* fn takes the row. All rows are read first: fn may use the store, and this table too. */
int table_each(struct store *store, enum table_id id, int (*fn)(void *row, void *userdata),
	void *userdata, struct bg_err **err);
void table_row_free(enum table_id id, void *row);

int op_prepare(struct store *store, struct bg_err **err);

#endif
