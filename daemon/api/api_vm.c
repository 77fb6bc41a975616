/* SPDX-License-Identifier: ISC */
/* The routes under /v1/vms: bodies in, records and operations out. What happens is in vm/. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>

#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/api/log_stream.h"
#include "daemon/engine.h"

static const char *const create_fields[] = {"name", "image", "kernel", "vcpus", "memory_mib",
	"disk_mib", "work_mib", "nat", "start", NULL};
static const char *const stop_fields[] = {"timeout_s", NULL};
static const char *const kill_fields[] = {"signal", NULL};
static const char *const set_fields[] = {"nat", NULL};
static const char *const no_fields[] = {NULL};

enum { STOP_TIMEOUT_MAX_S = 3600 };

static int parse_sizes(const json_t *body, struct vm_request *request, struct bg_err **err)
{
	int64_t vcpus = UINT_MAX, memory = 0, disk = 0, work = 0;
	int r = bg_json_or_int(
		body, "vcpus", BG_ERR_VM_LIMITS, BG_VCPU_MIN, BG_VCPU_MAX, &vcpus, err);

	if (r >= 0)
		r = bg_json_or_int(body, "memory_mib", BG_ERR_VM_LIMITS, BG_MEMORY_MIB_MIN,
			BG_MEMORY_MIB_MAX, &memory, err);
	if (r >= 0)
		r = bg_json_or_int(body, "disk_mib", BG_ERR_VM_LIMITS, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &disk, err);
	if (r >= 0)
		r = bg_json_or_int(body, "work_mib", BG_ERR_VM_LIMITS, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &work, err);
	request->vcpus = (unsigned)vcpus;
	request->memory_mib = (uint64_t)memory;
	request->disk_mib = (uint64_t)disk;
	request->work_mib = (uint64_t)work;
	return r;
}

static int parse_create(const json_t *body, struct vm_request *request, struct bg_err **err)
{
	int r = api_only_fields(body, create_fields, err);

	if (r >= 0)
		r = bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &request->name, err);
	if (r >= 0)
		r = bg_json_or_str(body, "image", BG_ERR_BAD_REQUEST, &request->image, err);
	if (r >= 0)
		r = bg_json_or_str(body, "kernel", BG_ERR_BAD_REQUEST, &request->kernel, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "nat", BG_ERR_BAD_REQUEST, &request->nat, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "start", BG_ERR_BAD_REQUEST, &request->start, err);
	return r < 0 ? r : parse_sizes(body, request, err);
}

void api_vm_list(struct http_call *call, struct engine *engine)
{
	json_t *array = json_array();

	for (const struct vm *vm = vms_first(engine->vms); vm; vm = vm->next)
		json_array_append_new(array, vm_to_json(vm));
	http_reply(call, 200, json_pack("{s:o}", "vms", array));
}

void api_vm_create(struct http_call *call, struct engine *engine)
{
	struct vm_request request = {.start = true};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (parse_create(http_call_body(call), &request, &err) >= 0)
		(void)vm_create(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_vm_show(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, vm_to_json(vm));
}

static void ask(struct http_call *call, struct engine *engine, enum vm_event event,
	const char *const *fields, const struct vm_options *options)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;
	struct vm *vm;

	if (api_only_fields(http_call_body(call), fields, &err) >= 0 &&
		vms_get(engine->vms, http_call_arg(call), &vm, &err) >= 0)
		(void)vm_ask(vm, event, options, &op, &err);
	api_reply_op(call, op, err);
}

void api_vm_start(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_START, no_fields, &(struct vm_options){0});
}

void api_vm_delete(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_DELETE, no_fields, &(struct vm_options){0});
}

static void stop_or_restart(struct http_call *call, struct engine *engine, enum vm_event event)
{
	struct bg_err *err = NULL;
	int64_t timeout = 0;

	if (bg_json_or_int(http_call_body(call), "timeout_s", BG_ERR_BAD_REQUEST, 1,
		    STOP_TIMEOUT_MAX_S, &timeout, &err) < 0)
		http_reply_error(call, err);
	else
		ask(call, engine, event, stop_fields,
			&(struct vm_options){.stop_timeout_s = (unsigned)timeout});
}

void api_vm_stop(struct http_call *call, struct engine *engine)
{
	stop_or_restart(call, engine, VM_EV_STOP);
}

void api_vm_restart(struct http_call *call, struct engine *engine)
{
	stop_or_restart(call, engine, VM_EV_RESTART);
}

/* "TERM" or "SIGTERM". */
static int parse_signal(const char *name, int *ret, struct bg_err **err)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int signo = 1; signo < NSIG; signo++) {
		const char *abbrev = sigabbrev_np(signo);

		if (bg_streq(abbrev, name)) {
			*ret = signo;
			return 0;
		}
	}
	return bg_err_set(err, BG_ERR_USAGE, EINVAL, "there is no signal \"%s\"", name);
}

void api_vm_kill(struct http_call *call, struct engine *engine)
{
	struct vm_options options = {.signo = SIGKILL};
	const char *name = "KILL";
	struct bg_err *err = NULL;

	if (bg_json_or_str(http_call_body(call), "signal", BG_ERR_BAD_REQUEST, &name, &err) < 0 ||
		parse_signal(name, &options.signo, &err) < 0)
		http_reply_error(call, err);
	else
		ask(call, engine, VM_EV_KILL, kill_fields, &options);
}

void api_vm_set(struct http_call *call, struct engine *engine)
{
	struct vm_options options = {0};
	struct bg_err *err = NULL;

	if (bg_json_get_bool(http_call_body(call), "nat", &options.nat) < 0) {
		bg_err_set(
			&err, BG_ERR_BAD_REQUEST, EINVAL, "the body has no \"nat\", true or false");
		http_reply_error(call, err);
	} else {
		ask(call, engine, VM_EV_SET, set_fields, &options);
	}
}

static int pick_log(const struct vm *vm, const char *log, const char **ret, struct bg_err **err)
{
	if (!log || bg_streq(log, "serial"))
		*ret = vm->paths.serial_log;
	else if (bg_streq(log, "vmm"))
		*ret = vm->paths.vmm_log;
	else
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"log is \"serial\" or \"vmm\", not \"%s\"", log);
	return 0;
}

void api_vm_logs(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	const char *path = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0 ||
		pick_log(vm, http_call_query(call, "log"), &path, &err) < 0)
		http_reply_error(call, err);
	else
		log_stream_reply(engine->loop, call, path, http_call_query(call, "follow"),
			http_call_query(call, "tail"));
}
