/* SPDX-License-Identifier: ISC */
/* The tables that have no folders: operations under way, and numbers. */
#include "daemon/store/db.h"

static const struct column op_columns[] = {
#define X(field, kind, home) COLUMN(op_row, field, kind, home),
#include "daemon/store/op_columns.def"
#undef X
};

static const struct column meta_columns[] = {
#define X(field, kind, home) COLUMN(meta_row, field, kind, home),
#include "daemon/store/meta_columns.def"
#undef X
};

const struct table store_table_op = {
	.name = "op",
	.columns = op_columns,
	.n_columns = ARRAY_SIZE(op_columns),
	.row_size = sizeof(struct op_row),
};

const struct table store_table_meta = {
	.name = "meta",
	.columns = meta_columns,
	.n_columns = ARRAY_SIZE(meta_columns),
	.row_size = sizeof(struct meta_row),
};
