/* SPDX-License-Identifier: ISC */
/* usage.c: Processor time is the difference of two looks; the first look after a start has none. */
#include "daemon/vm/usage.h"

#include "common/json.h"
#include "common/usage.h"
#include "daemon/engine.h"

enum { AGAIN_USEC = 250 * 1000 };

/* Keeps what the next look compares with. */
static void note_cpu(struct vm *vm, double cpu_s)
{
	uint64_t now = loop_now_usec(), since = now - vm->usage_usec;

	if (cpu_s < vm->cpu_s) /* another process */
		vm->usage_usec = 0;
	if (vm->usage_usec && since < AGAIN_USEC)
		return;
	vm->cpu_percent = vm->usage_usec ? 100 * (cpu_s - vm->cpu_s) / ((double)since / 1e6) : -1;
	vm->cpu_s = cpu_s;
	vm->usage_usec = now;
}

json_t *usage_of(struct vm *vm)
{
	const char *const files[] = {vm->paths.disk_root, vm->paths.disk_work, NULL};
	struct bg_usage usage;

	if (!vm->vmm || bg_usage_read((pid_t)vm->row->pid, files, &usage) < 0)
		return NULL;
	note_cpu(vm, usage.cpu_s);
	return json_pack("{s:s, s:s, s:o, s:f, s:I, s:I, s:I}", "name", vm->row->name, "id",
		vm->row->id, "cpu_percent",
		vm->cpu_percent < 0 ? json_null() : json_real(vm->cpu_percent), "cpu_seconds",
		usage.cpu_s, "memory_bytes", (json_int_t)usage.memory_bytes, "disk_bytes",
		(json_int_t)usage.disk_bytes, "written_bytes", (json_int_t)usage.written_bytes);
}

json_t *usage_of_all(struct engine *engine)
{
	json_t *list = json_array();

	for (struct vm *vm = vms_first(engine->vms); vm; vm = vm->next) {
		json_t *record = usage_of(vm);

		if (record)
			json_array_append_new(list, record);
	}
	return list;
}
