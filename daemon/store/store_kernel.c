/* SPDX-License-Identifier: ISC */
/* The table of kernels. */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind, home) COLUMN(kernel_row, field, kind, home),
#include "daemon/store/kernel_columns.def"
#undef X
};

static bool settled(const void *row)
{
	return ((const struct kernel_row *)row)->ready;
}

static void adopt(void *row)
{
	((struct kernel_row *)row)->ready = true;
}

static void unmake(void *row)
{
	((struct kernel_row *)row)->ready = false;
}

const struct table store_table_kernel = {
	.name = "kernel",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct kernel_row),
	.folder = "kernels",
	.record = "kernel.rec",
	.settled = settled,
	.adopt = adopt,
	.unmake = unmake,
};

void kernel_row_free(struct kernel_row *row)
{
	table_row_free(TABLE_KERNEL, row);
}
