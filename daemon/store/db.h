/* SPDX-License-Identifier: ISC */
/*
 * db.h: what the files of store/ share: rows as tables of columns, and a row as text: one line of JSON,
 * which is what the ledger keeps, what passes between engine and process, and (the KEEP columns) what a record has.
 * Included by store/ and its tests only.
 */
#ifndef BG_DAEMON_STORE_DB_H
#define BG_DAEMON_STORE_DB_H

#include <assert.h>

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

enum column_home { COLUMN_HOST, COLUMN_KEEP };

struct column {
	const char *name;
	enum column_kind kind;
	enum column_home home;
	size_t offset;
};

/* The C type that goes with each kind; COLUMN() below asserts it. */
typedef char column_id[BG_ID_LEN + 1];
#define COLUMN_TYPE_ID	 column_id
#define COLUMN_TYPE_STR	 char *
#define COLUMN_TYPE_INT	 int
#define COLUMN_TYPE_UINT unsigned
#define COLUMN_TYPE_U64	 uint64_t
#define COLUMN_TYPE_I64	 int64_t
#define COLUMN_TYPE_BOOL bool
#define COLUMN(row, field, kind, home)                                                             \
	{                                                                                          \
#field, COLUMN_##kind, COLUMN_##home,                                              \
			offsetof(struct row, field) +                                              \
				0 * sizeof(char[__builtin_types_compatible_p(                      \
							__typeof__(((struct row *)0)->field),      \
							COLUMN_TYPE_##kind)                        \
							? 1                                        \
							: -1])                                     \
	}

enum table_id { TABLE_VM, TABLE_IMAGE, TABLE_KERNEL, TABLE_OP, TABLE_META, TABLE_MAX_ };

struct table {
	const char *name;
	const struct column *columns; /* the first is the key */
	unsigned n_columns;
	size_t row_size;
	const char *folder; /* each has <state>/FOLDER/KEY with a record in it; NULL: none */
	const char *record; /* its file name */
	/* What a row has that says nothing of it, where that is not 0; NULL: all is. */
	void (*blank)(void *row);
	/* Of those with a folder. Does it exist for its user, rather than being made or removed? */
	bool (*settled)(const void *row);
	/* All that is known is its record: what such a one is that does nothing. */
	void (*adopt)(void *row);
	/* Its folder says that it is being removed. */
	void (*unmake)(void *row);
};

extern const struct table store_table_vm, store_table_image, store_table_kernel, store_table_op,
	store_table_meta;
const struct table *store_table(enum table_id id);
/* -ENOENT. */
int store_table_find(const char *name, enum table_id *ret);

const char *table_key(enum table_id id, const void *row);
void table_row_free(enum table_id id, void *row);
/* The columns as an object: all, or those that a record has. NULL: out of memory. */
json_t *table_to_json(enum table_id id, const void *row, bool keep_only);
/* -EBADMSG when a column has another type or the key is missing; -ENOMEM. */
int table_from_json(enum table_id id, const json_t *json, void **ret);
/* Takes the KEEP columns of from, which are set to nothing there. */
void table_take_keep(enum table_id id, void *row, void *from);
/* Compact, keys sorted; NULL: out of memory. */
char *table_text(enum table_id id, const void *row, bool keep_only);
int table_parse(enum table_id id, const char *text, void **ret);

/* Folders of <state> by which something exists or is gone. */
#define STORE_TRASH "trash"
#define STORE_ASIDE "set-aside"

#endif
