/* SPDX-License-Identifier: ISC */
/* The routes under /v1/daemon. */
#include <stdio.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/asset/content_store.h"
#include "daemon/dns/dns.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/farewell.h"
#include "daemon/priv/priv_client.h"
#include "daemon/trash.h"
#include "daemon/vm/tap_pool.h"
#include "daemon/web/web.h"

/* Resident memory of this process in KiB: second field of statm, in pages (proc(5)). */
static json_int_t rss_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*s %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (json_int_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static json_t *vms_json(const struct engine *engine)
{
	unsigned total = 0;

	for (int state = 0; state < VM_STATE_MAX_; state++)
		total += vms_count(engine->vms, (enum vm_state)state);
	return json_pack("{s:i, s:i}", "total", (int)total, "running",
		(int)vms_count(engine->vms, VM_RUNNING));
}

static json_t *helper_json(const struct engine *engine)
{
	const struct bg_err *err = net_error(engine->net);

	return json_pack("{s:b, s:s, s:i, s:s, s:o}", "ok", !err, "path", engine->helper_path,
		"slots", (int)net_slots(engine->net), "gateway", net_gateway(engine->net), "error",
		err ? bg_err_to_json(err) : json_null());
}

static json_t *disk_helper_json(const struct engine *engine)
{
	const struct bg_err *err = disk_error(engine->disk);

	return json_pack("{s:b, s:s, s:o}", "ok", disk_ready(engine->disk), "path",
		priv_disk_helper_path(), "error", err ? bg_err_to_json(err) : json_null());
}

static json_t *storage_json(const struct engine *engine)
{
	json_t *copied = json_array();

	if (engine->storage == &storage_cow)
		kernels_without_cow(engine->kernels, copied);
	return json_pack("{s:b, s:s, s:s, s:o, s:o}", "known", engine->storage_known, "driver",
		engine->storage->name, "reason", engine->storage_reason, "copied_kernels", copied,
		"error", engine->storage_err ? bg_err_to_json(engine->storage_err) : json_null());
}

static json_t *taps_json(const struct engine *engine)
{
	return json_pack("{s:i, s:i}", "size", (int)tap_pool_size(engine->pool), "ready",
		(int)tap_pool_ready(engine->pool));
}

static json_t *dns_json(const struct engine *engine)
{
	return json_pack("{s:s?, s:o}", "address", engine->dns ? dns_address(engine->dns) : NULL,
		"error", engine->dns_err ? bg_err_to_json(engine->dns_err) : json_null());
}

json_t *api_vmm_json(const struct engine *engine)
{
	const struct vmm_choice *choice = vmm_probe_choice(engine->probe);

	if (!choice)
		return json_null();
	return json_pack("{s:s?, s:s, s:s?, s:s?, s:s?, s:o}", "name",
		choice->driver ? choice->driver->name : NULL, "accel", vmm_accel_str(choice->accel),
		"path", choice->binary, "version", choice->version, "reason", choice->reason,
		"error", choice->err ? bg_err_to_json(choice->err) : json_null());
}

/* What the next start would say of config.toml as it is now, or null. */
static json_t *config_error_json(const struct engine *engine)
{
	_unref_(config) struct config *now = NULL;
	_err_ struct bg_err *err = NULL;

	if (!config_changed(engine->config, engine->paths->config_file) ||
		config_load(engine->paths->config_file, &now, &err) >= 0)
		return json_null();
	return bg_err_to_json(err);
}

/* VMs whose folder or disks are not there. */
static json_t *missing_json(const struct engine *engine)
{
	json_t *list = json_array();

	for (const struct vm *vm = vms_first(engine->vms); vm; vm = vm->next) {
		const char *path = vm_missing(vm);

		if (path)
			json_array_append_new(
				list, json_pack("{s:s, s:s}", "name", vm->row->name, "path", path));
	}
	return list;
}

/* What the store says, files that nothing names, and what is named and not there. */
static json_t *store_json(const struct engine *engine)
{
	json_t *json = store_status(engine->store);
	uint64_t bytes;
	unsigned n;

	content_store_unused(engine, &n, &bytes);
	if (json)
		(void)json_object_set_new(json, "missing", missing_json(engine));
	if (json)
		(void)json_object_set_new(json, "unused",
			json_pack("{s:i, s:I}", "files", (int)n, "bytes", (json_int_t)bytes));
	return json;
}

static json_t *defaults_json(const struct config *config)
{
	return json_pack("{s:i, s:I, s:I, s:I, s:b}", "cpus", (int)config->default_cpus,
		"memory_mib", (json_int_t)config->default_memory_mib, "disk_mib",
		(json_int_t)config->default_disk_mib, "work_mib",
		(json_int_t)config->default_work_mib, "nat", config->default_nat);
}

static json_t *limits_json(const struct engine *engine)
{
	return json_pack("{s:b, s:s}", "on", engine->scope_socket != NULL, "reason",
		engine->scope_socket ? "each VMM has a scope of its own, with MemoryHigh, "
				       "CPUWeight and TasksMax"
				     : engine->scope_why);
}

static json_t *status_json(const struct engine *engine)
{
	const struct bg_paths *paths = engine->paths;
	char text[BG_TIME_TEXT];

	return json_pack(
		"{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:o, s:b, s:o, s:i, s:o, s:o, s:{s:s, s:s}}",
		"version", BG_VERSION, "pid", (int)getpid(), "monitor_pid",
		(int)engine->monitor_pid, "socket", paths->socket, "log", paths->log_file, "config",
		paths->config_file, "state_dir", paths->state_dir, "cache_dir", paths->cache_dir,
		"started_at", bg_time_print(engine->started_at, text), "rss_kib", rss_kib(), "vms",
		vms_json(engine), "helper", helper_json(engine), "disk_helper",
		disk_helper_json(engine), "taps", taps_json(engine), "dns", dns_json(engine), "vmm",
		api_vmm_json(engine), "storage", storage_json(engine), "store", store_json(engine),
		"web", web_to_json(engine->web), "config_changed",
		config_changed(engine->config, paths->config_file), "config_error",
		config_error_json(engine), "operations", (int)ops_running(engine->ops), "defaults",
		defaults_json(engine->config), "limits", limits_json(engine), "ssh", "key",
		keys_private_path(engine->keys), "known_hosts",
		keys_known_hosts_path(engine->keys));
}

void api_daemon_status(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, status_json(engine));
}

void api_daemon_stop(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	bool if_idle = api_bool(body, "if_idle", false);
	bool session_end = api_bool(body, "session_end", false);
	struct bg_err *err = NULL;

	if (if_idle && ops_check_idle(engine->ops, &err) < 0) {
		http_reply_error(call, err);
		return;
	}
	http_reply(call, 200, status_json(engine));
	if (session_end)
		farewell_begin(engine);
	else
		engine_stop(engine);
}

/* A VM whose row and record were lost may still run. */
static int check_not_running(const char *path, struct bg_err **err)
{
	_free_ struct vmm_seen *seen = NULL;
	size_t n = 0;

	(void)vmm_list(&seen, &n);
	for (size_t i = 0; i < n; i++) {
		if (strncmp(path, "vms/", 4) != 0 || !bg_streq(path + 4, seen[i].id))
			continue;
		bg_err_set(err, BG_ERR_VM_STATE, EBUSY, "process %d runs with the disks in %s",
			(int)seen[i].pid, path);
		bg_err_hint(err, "end it first: `kill %d`", (int)seen[i].pid);
		return -EBUSY;
	}
	return 0;
}

/* Nothing is flushed: what a power cut brings back is listed again. */
static int remove_orphan(struct engine *engine, const char *path, struct bg_err **err)
{
	_free_ char *whole = NULL;
	int r;

	if (!store_has_orphan(engine->store, path))
		return bg_err_set(err, BG_ERR_ORPHAN_NOT_FOUND, ENOENT,
			"there is no folder \"%.200s\" of no known VM, image or kernel", path);
	r = check_not_running(path, err);
	if (r < 0)
		return r;
	if (asprintf(&whole, "%s/%s", engine->paths->state_dir, path) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = trash_throw(engine->trash, whole);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "remove %s", whole);
	log_msg(LOG_INFO, "store", "a folder of no known VM, image or kernel is removed", "path",
		path, NULL);
	store_forget_orphan(engine->store, path);
	return 0;
}

void api_orphan_remove(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;

	if (remove_orphan(engine, api_str(http_call_body(call), "path"), &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, status_json(engine));
}
