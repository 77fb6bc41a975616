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
#include "daemon/vm/health.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_set.h"

static const char *const create_fields[] = {"name", "image", "kernel", "cpus", "vcpus", "memory_mib",
	"disk_mib", "work_mib", "nat", "peers", "with_init", "own_disk", "autostart", "restart", "start", "labels", "publish", NULL};
static const char *const stop_fields[] = {"timeout_s", NULL};
static const char *const kill_fields[] = {"signal", NULL};
static const char *const set_fields[] = {"name", "nat", "peers", "with_init", "autostart", "restart", "cpus", "vcpus", "memory_mib", "disk_mib",
	"work_mib", "labels", "publish", "unpublish", NULL};
static const char *const no_fields[] = {NULL};

enum { STOP_TIMEOUT_MAX_S = 3600 };

struct sizes {
	int64_t vcpus, memory, disk, work;
};

/* What is not in the body stays as it is in *s. */
static int parse_sizes(const json_t *body, struct sizes *s, struct bg_err **err)
{
	int r = bg_json_or_int(
		body, "cpus", BG_ERR_VM_LIMITS, BG_VCPU_MIN, BG_VCPU_MAX, &s->vcpus, err);

	if (r >= 0) /* its name until 0.1 */
		r = bg_json_or_int(
			body, "vcpus", BG_ERR_VM_LIMITS, BG_VCPU_MIN, BG_VCPU_MAX, &s->vcpus, err);
	if (r >= 0)
		r = bg_json_or_int(body, "memory_mib", BG_ERR_VM_LIMITS, BG_MEMORY_MIB_MIN,
			BG_MEMORY_MIB_MAX, &s->memory, err);
	if (r >= 0)
		r = bg_json_or_int(body, "disk_mib", BG_ERR_VM_LIMITS, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &s->disk, err);
	if (r >= 0)
		r = bg_json_or_int(body, "work_mib", BG_ERR_VM_LIMITS, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &s->work, err);
	return r;
}

/* NULL when the body has none. */
static int parse_labels(const json_t *body, const json_t **ret, struct bg_err **err)
{
	*ret = json_object_get(body, "labels");
	if (!*ret || json_is_object(*ret))
		return 0;
	return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "\"labels\" is not an object");
}

/* NULL when the body has none. */
static int parse_list(const json_t *body, const char *key, const json_t **ret, struct bg_err **err)
{
	*ret = json_object_get(body, key);
	if (!*ret || json_is_array(*ret))
		return 0;
	return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "\"%s\" is not a list", key);
}

static int parse_create(const json_t *body, struct vm_request *request, struct bg_err **err)
{
	struct sizes sizes = {.vcpus = UINT_MAX};
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
		r = bg_json_or_bool(body, "peers", BG_ERR_BAD_REQUEST, &request->peers, err);
	if (r >= 0)
		r = bg_json_or_bool(
			body, "with_init", BG_ERR_BAD_REQUEST, &request->with_init, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "own_disk", BG_ERR_BAD_REQUEST, &request->own_disk, err);
	if (r >= 0)
		r = bg_json_or_bool(
			body, "autostart", BG_ERR_BAD_REQUEST, &request->autostart, err);
	if (r >= 0)
		r = restart_policy_parse(body, &request->restart, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "start", BG_ERR_BAD_REQUEST, &request->start, err);
	if (r >= 0)
		r = parse_labels(body, &request->labels, err);
	if (r >= 0)
		r = parse_list(body, "publish", &request->publish, err);
	if (r >= 0)
		r = parse_sizes(body, &sizes, err);
	request->vcpus = (unsigned)sizes.vcpus;
	request->memory_mib = (uint64_t)sizes.memory;
	request->disk_mib = (uint64_t)sizes.disk;
	request->work_mib = (uint64_t)sizes.work;
	return r;
}

/* A reader of records, until those VMs have answered of which nothing was heard lately. */
struct look {
	struct http_call *call;
	struct engine *engine;
};

static void reply_list(struct http_call *call, const struct engine *engine)
{
	http_reply(call, 200,
		vms_to_json(engine->vms, api_is_on(http_call_query(call, "brief"))));
}

static void reply_one(struct http_call *call, const struct engine *engine)
{
	struct bg_err *err = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, vm_to_json(vm));
}

static void on_looked_at_all(void *userdata)
{
	_free_ struct look *look = userdata;

	reply_list(look->call, look->engine);
}

static void on_looked_at_one(void *userdata)
{
	_free_ struct look *look = userdata;

	reply_one(look->call, look->engine);
}

static bool look(struct http_call *call, struct engine *engine, const char *name,
	void (*fn)(void *userdata))
{
	struct look *look = malloc(sizeof(*look));

	if (!look)
		return false;
	*look = (struct look){call, engine};
	if (health_look(engine->health, name, fn, look))
		return true;
	free(look);
	return false;
}

void api_vm_list(struct http_call *call, struct engine *engine)
{
	if (!look(call, engine, NULL, on_looked_at_all))
		reply_list(call, engine);
}

void api_vm_create(struct http_call *call, struct engine *engine)
{
	struct vm_request request = {.start = true, .nat = engine->config->default_nat};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (parse_create(http_call_body(call), &request, &err) >= 0)
		(void)vm_create(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_vm_show(struct http_call *call, struct engine *engine)
{
	if (!look(call, engine, http_call_arg(call), on_looked_at_one))
		reply_one(call, engine);
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
	ask(call, engine, VM_EV_DELETE, no_fields,
		&(struct vm_options){.force = api_is_on(http_call_query(call, "force"))});
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

static int parse_set(const json_t *body, struct vm_change *change, struct bg_err **err)
{
	struct sizes sizes = {0};
	int r = bg_json_or_bool(body, "nat", BG_ERR_BAD_REQUEST, &change->nat, err);

	if (r >= 0)
		r = bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &change->name, err);
	change->has_nat = json_object_get(body, "nat") != NULL;
	change->has_peers = json_object_get(body, "peers") != NULL;
	if (r >= 0)
		r = bg_json_or_bool(body, "peers", BG_ERR_BAD_REQUEST, &change->peers, err);
	change->has_with_init = json_object_get(body, "with_init") != NULL;
	if (r >= 0)
		r = bg_json_or_bool(body, "with_init", BG_ERR_BAD_REQUEST, &change->with_init, err);
	change->has_autostart = json_is_boolean(json_object_get(body, "autostart"));
	change->has_restart = json_is_string(json_object_get(body, "restart"));
	if (r >= 0)
		r = bg_json_or_bool(body, "autostart", BG_ERR_BAD_REQUEST, &change->autostart, err);
	if (r >= 0)
		r = restart_policy_parse(body, &change->restart, err);
	if (r >= 0)
		r = parse_sizes(body, &sizes, err);
	if (r >= 0)
		r = parse_labels(body, &change->labels, err);
	if (r >= 0)
		r = parse_list(body, "publish", &change->publish, err);
	if (r >= 0)
		r = parse_list(body, "unpublish", &change->unpublish, err);
	change->vcpus = (unsigned)sizes.vcpus;
	change->memory_mib = (uint64_t)sizes.memory;
	change->disk_mib = (uint64_t)sizes.disk;
	change->work_mib = (uint64_t)sizes.work;
	return r;
}

void api_vm_set(struct http_call *call, struct engine *engine)
{
	struct vm_change change = {0};
	struct bg_err *err = NULL;

	if (parse_set(http_call_body(call), &change, &err) < 0)
		http_reply_error(call, err);
	else
		ask(call, engine, VM_EV_SET, set_fields, &(struct vm_options){.change = &change});
}

static int pick_log(const struct vm *vm, const char *log, struct log_part *ret, struct bg_err **err)
{
	if (!log || bg_streq(log, "serial"))
		*ret = (struct log_part){vm->paths.serial_log, vm->row->boot_serial};
	else if (bg_streq(log, "vmm"))
		*ret = (struct log_part){vm->paths.vmm_log, vm->row->boot_vmm};
	else
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"log is \"serial\" or \"vmm\", not \"%s\"", log);
	return 0;
}

static int parse_log_ask(const struct http_call *call, struct log_ask *ask, struct bg_err **err)
{
	*ask = (struct log_ask){.follow = api_is_on(http_call_query(call, "follow")),
		.match = http_call_query(call, "match")};
	if (ask->match && !*ask->match)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "match is empty");
	return api_query_int(call, "tail", 1, INT32_MAX, &ask->tail, err);
}

void api_vm_logs(struct http_call *call, struct engine *engine)
{
	struct log_part part = {0};
	struct log_ask ask;
	struct bg_err *err = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0 ||
		pick_log(vm, http_call_query(call, "log"), &part, &err) < 0 ||
		parse_log_ask(call, &ask, &err) < 0) {
		http_reply_error(call, err);
		return;
	}
	if (!api_is_on(http_call_query(call, "boot")))
		part.from = 0;
	log_stream_reply(engine->loop, call, &part, &ask);
}
