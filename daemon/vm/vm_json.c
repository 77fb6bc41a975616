/* SPDX-License-Identifier: ISC */
/* The record of a VM as docs/api.md describes it. */
#include <stdio.h>

#include "common/agent_proto.h"
#include "common/json.h"
#include "common/timefmt.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/expose.h"
#include "daemon/vm/health.h"
#include "daemon/vm/labels.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm.h"
#include "daemon/vm/vm_memory.h"
#include "daemon/vm/vm_saved.h"

static json_t *time_json(int64_t seconds)
{
	char text[BG_TIME_TEXT];

	return seconds ? json_string(bg_time_print(seconds, text)) : json_null();
}

static json_t *error_json(const struct bg_err *err)
{
	return err ? bg_err_to_json(err) : json_null();
}

static json_t *op_json(const struct vm *vm)
{
	char id[24];

	if (!vm->op)
		return json_null();
	snprintf(id, sizeof(id), "%lld", (long long)op_id(vm->op));
	return json_string(id);
}

static json_t *paths_json(const struct vm *vm)
{
	const struct vm_paths *p = &vm->paths;

	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "dir", p->dir, "disk", p->disk_root, "work",
		p->disk_work, "serial_log", p->serial_log, "vmm_log", p->vmm_log);
}

/* How far this boot got with bringing an ssh server in; NULL where that was not wanted or done. */
static const char *ssh_setup(const struct vm *vm)
{
	uint32_t flags = vm->guest ? guest_flags(vm->guest) : 0;

	if (flags & BG_AGENT_F_NO_MANAGER)
		return "no_manager";
	if (!(flags & BG_AGENT_F_SETUP))
		return NULL;
	if (!(flags & BG_AGENT_F_SETUP_END))
		return "running";
	return flags & BG_AGENT_F_NO_SSHD ? "failed" : NULL;
}

static json_t *ssh_json(const struct vm *vm)
{
	const struct keys *keys = vm->engine->keys;

	return json_pack("{s:s, s:i, s:s?, s:s?, s:b, s:s?}", "user", "root", "port", 22, "key",
		keys ? keys_private_path(keys) : NULL, "known_hosts",
		keys ? keys_known_hosts_path(keys) : NULL, "sshd", vm->row->has_sshd, "setup",
		ssh_setup(vm));
}

const char *vm_disk_note(uint32_t flags)
{
	if (flags & BG_AGENT_F_COW_REPAIRED)
		return "its root disk could not be written to at some time: what was not synced by "
		       "then is lost";
	if (flags & BG_AGENT_F_FS_ERROR)
		return "ext4 has recorded an error on / or /root: it grows only after an e2fsck";
	return NULL;
}

static void put(json_t *json, const char *key, json_t *value)
{
	json_object_set_new(json, key, value);
}

static void put_sizes(json_t *json, const struct vm_row *row)
{
	put(json, "cpus", json_integer(row->vcpus));
	put(json, "memory_mib", json_integer((json_int_t)row->memory_mib));
	put(json, "disk_mib", json_integer((json_int_t)row->disk_mib));
	put(json, "work_mib", json_integer((json_int_t)row->work_mib));
}

static json_t *missing_json(const struct vm *vm)
{
	const char *path = vm_missing(vm);

	return path ? json_string(path) : json_null();
}

json_t *vm_to_brief_json(const struct vm *vm)
{
	const struct vm_row *row = vm->row;
	json_t *json = json_object();

	put(json, "name", bg_json_str(row->name));
	put(json, "id", bg_json_str(row->id));
	put(json, "state", json_string(vm_state_str((enum vm_state)row->state)));
	put(json, "ready", json_boolean(vm->ready));
	put(json, "image", bg_json_str(row->image));
	put(json, "kernel", bg_json_str(row->kernel));
	put_sizes(json, row);
	put(json, "autostart", json_boolean(row->autostart));
	put(json, "restart", json_string(restart_policy_str(row->restart)));
	put(json, "next_start_at", time_json(revive_at(vm)));
	put(json, "labels", labels_to_json(row->labels));
	put(json, "publish", publish_to_json(vm));
	put(json, "expose", expose_to_json(vm));
	put(json, "health", vm_health(vm) ? json_string(vm_health(vm)) : json_null());
	put(json, "missing", missing_json(vm));
	put(json, "address", bg_json_str(row->address));
	put(json, "started_at", time_json(row->started_at));
	put(json, "suspended_at", time_json(vm_saved_at(vm)));
	put(json, "suspended_bytes",
		vm_saved_is(vm) ? json_integer((json_int_t)vm_saved_bytes(vm)) : json_null());
	put(json, "resume_note", bg_json_str(row->resume_note));
	put(json, "error", error_json(vm->error));
	return json;
}

static json_t *limits_json(const struct vm *vm)
{
	_free_ char *text = vm_limits_text(vm);

	return text ? bg_json_str(text) : json_null();
}

json_t *vm_to_json(const struct vm *vm)
{
	const struct vm_row *row = vm->row;
	json_t *json = vm_to_brief_json(vm);

	put(json, "nat", json_boolean(row->nat));
	put(json, "peers", json_boolean(row->peers));
	put(json, "with_init", json_boolean(row->with_init));
	put(json, "balloon", json_boolean(!row->no_balloon));
	put(json, "balloon_reason", bg_json_str(vm_balloon_reason(vm)));
	put(json, "limits", limits_json(vm));
	put(json, "code_cache_mib",
		vm->vmm && row->code_cache_mib ? json_integer(row->code_cache_mib) : json_null());
	put(json, "vmm", bg_json_str(row->vmm));
	put(json, "accel", bg_json_str(row->accel));
	put(json, "vmm_reason", bg_json_str(row->vmm_reason));
	put(json, "storage", bg_json_str(row->storage));
	put(json, "storage_reason", bg_json_str(vm_storage_reason(vm)));
	put(json, "disk_note",
		bg_json_str(vm->guest ? vm_disk_note(guest_flags(vm->guest)) : NULL));
	put(json, "agent_note", bg_json_str(vm_agent_note(vm)));
	put(json, "gap", vm_gap_json(vm));
	put(json, "paused", json_boolean(vm->paused));
	put(json, "pid", row->pid ? json_integer(row->pid) : json_null());
	put(json, "created_at", time_json(row->created_at));
	put(json, "operation", op_json(vm));
	put(json, "paths", paths_json(vm));
	put(json, "ssh", ssh_json(vm));
	return json;
}

json_t *vms_to_json(const struct vms *vms, bool brief)
{
	json_t *array = json_array();

	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next)
		json_array_append_new(array, brief ? vm_to_brief_json(vm) : vm_to_json(vm));
	return json_pack("{s:o}", "vms", array);
}
