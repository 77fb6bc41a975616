/* SPDX-License-Identifier: ISC */
/* vm_users.c: walks over all VMs; a machine has a few hundred at the most. */
#include "daemon/vm/vm_users.h"

#include "common/json.h"
#include "daemon/engine.h"
#include "daemon/vm/vm.h"

static void names(const struct engine *engine, const char *image, const char *kernel, json_t *out)
{
	for (const struct vm *vm = vms_first(engine->vms); vm; vm = vm->next)
		if (image ? bg_streq(vm->row->image, image) : bg_streq(vm->row->kernel, kernel))
			json_array_append_new(out, bg_json_str(vm->row->name));
}

/*
 * A VM whose image was written to after it was made does not start (vm_check_base). It must not by
 * a promotion either: where the new bytes are kept already, their file's time may be older than the VM.
 */
static int check_base(const struct engine *engine, const struct image_row *row, struct bg_err **err)
{
	int r = 0;

	for (const struct vm *vm = vms_first(engine->vms); vm && r >= 0; vm = vm->next)
		if (vm_on_base(vm) && bg_streq(vm->row->image, row->name))
			r = vm_check_base(vm, row, err);
	return r;
}

const struct asset_users vm_users = {.names = names, .check_base = check_base};
