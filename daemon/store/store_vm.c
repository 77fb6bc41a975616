/* SPDX-License-Identifier: ISC */
/* The table of VMs. */
#include "daemon/store/db.h"

static const struct column columns[] = {
#define X(field, kind, home) COLUMN(vm_row, field, kind, home),
#include "daemon/store/vm_columns.def"
#undef X
};

static bool settled(const void *row)
{
	int state = ((const struct vm_row *)row)->state;

	return state != STORE_VM_CREATING && state != STORE_VM_DELETING;
}

static void blank(void *row)
{
	struct vm_row *vm = row;

	vm->slot = vm->home_slot = -1;
}

static void adopt(void *row)
{
	((struct vm_row *)row)->state = STORE_VM_STOPPED;
}

static void unmake(void *row)
{
	((struct vm_row *)row)->state = STORE_VM_DELETING;
}

const struct table store_table_vm = {
	.name = "vm",
	.columns = columns,
	.n_columns = ARRAY_SIZE(columns),
	.row_size = sizeof(struct vm_row),
	.folder = "vms",
	.record = "vm.rec",
	.blank = blank,
	.settled = settled,
	.adopt = adopt,
	.unmake = unmake,
};

void vm_row_free(struct vm_row *row)
{
	table_row_free(TABLE_VM, row);
}
