/* SPDX-License-Identifier: ISC */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind) COLUMN(kernel_row, field, kind),
#include "daemon/store/kernel_columns.def"
#undef X
};

const struct table store_table_kernel = {
	.name = "kernel",
	.noun = "a kernel",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct kernel_row),
	.name_offset = offsetof(struct kernel_row, name),
	.taken = BG_ERR_KERNEL_NAME_TAKEN,
	.missing = BG_ERR_KERNEL_NOT_FOUND,
};

void kernel_row_free(struct kernel_row *row)
{
	table_row_free(TABLE_KERNEL, row);
}

int store_kernel_insert(struct store *store, const struct kernel_row *row, struct bg_err **err)
{
	return table_insert(store, TABLE_KERNEL, row, err);
}

int store_kernel_save(struct store *store, const struct kernel_row *row, struct bg_err **err)
{
	return table_save(store, TABLE_KERNEL, row, err);
}

int store_kernel_delete(struct store *store, const char *name, struct bg_err **err)
{
	return table_delete(store, TABLE_KERNEL, name, err);
}

struct each {
	int (*fn)(struct kernel_row *row, void *userdata);
	void *userdata;
};

static int each_row(void *row, void *userdata)
{
	const struct each *each = userdata;

	return each->fn(row, each->userdata);
}

int store_kernel_each(struct store *store, int (*fn)(struct kernel_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	struct each each = {fn, userdata};

	return table_each(store, TABLE_KERNEL, each_row, &each, err);
}
