/* SPDX-License-Identifier: ISC */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind) COLUMN(vm_row, field, kind),
#include "daemon/store/vm_columns.def"
#undef X
};

const struct table store_table_vm = {
	.name = "vm",
	.noun = "a VM",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct vm_row),
	.name_offset = offsetof(struct vm_row, name),
	.taken = BG_ERR_VM_NAME_TAKEN,
	.missing = BG_ERR_VM_NOT_FOUND,
};

void vm_row_free(struct vm_row *row)
{
	table_row_free(TABLE_VM, row);
}

int store_vm_insert(struct store *store, const struct vm_row *row, struct bg_err **err)
{
	return table_insert(store, TABLE_VM, row, err);
}

int store_vm_save(struct store *store, const struct vm_row *row, struct bg_err **err)
{
	return table_save(store, TABLE_VM, row, err);
}

int store_vm_delete(struct store *store, const char *id, struct bg_err **err)
{
	return table_delete(store, TABLE_VM, id, err);
}

struct each {
	int (*fn)(struct vm_row *row, void *userdata);
	void *userdata;
};

static int each_row(void *row, void *userdata)
{
	const struct each *each = userdata;

	return each->fn(row, each->userdata);
}

int store_vm_each(struct store *store, int (*fn)(struct vm_row *row, void *userdata),
	void *userdata, struct bg_err **err)
{
	struct each each = {fn, userdata};

	return table_each(store, TABLE_VM, each_row, &each, err);
}
