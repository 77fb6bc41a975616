/* SPDX-License-Identifier: ISC */
/* The routes under /v1/vms: bodies in, records and operations out. What happens is in vm/. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>

#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/api/log_stream.h"
#include "daemon/engine.h"
#include "daemon/vm/health.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_set.h"

/* A size that is not in the body is 0. */
static uint64_t size_of(const json_t *body, const char *key)
{
	return (uint64_t)api_int(body, key, 0);
}

/* vcpus: its name until 0.1. */
static unsigned cpus_of(const json_t *body, unsigned fallback)
{
	return (unsigned)api_int(body, "vcpus", api_int(body, "cpus", fallback));
}

static struct vm_request create_request(const json_t *body, const struct engine *engine)
{
	return (struct vm_request){
		.name = api_str(body, "name"),
		.image = api_str(body, "image"),
		.kernel = api_str(body, "kernel"),
		.vcpus = cpus_of(body, UINT_MAX),
		.memory_mib = size_of(body, "memory_mib"),
		.disk_mib = size_of(body, "disk_mib"),
		.work_mib = size_of(body, "work_mib"),
		.nat = api_bool(body, "nat", engine->config->default_nat),
		.peers = api_bool(body, "peers", false),
		.with_init = api_bool(body, "with_init", false),
		.no_balloon = !api_bool(body, "balloon", true),
		.own_disk = api_bool(body, "own_disk", false),
		.autostart = api_bool(body, "autostart", false),
		.restart = restart_policy_of(api_str(body, "restart")),
		.start = api_bool(body, "start", true),
		.labels = json_object_get(body, "labels"),
		.publish = json_object_get(body, "publish"),
		.expose = json_object_get(body, "expose"),
	};
}

/* A reader of records, until those VMs have answered of which nothing was heard lately. */
struct look {
	struct http_call *call;
	struct engine *engine;
};

static void reply_list(struct http_call *call, const struct engine *engine)
{
	http_reply(call, 200, vms_to_json(engine->vms, api_is_on(http_call_query(call, "brief"))));
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

static bool look(
	struct http_call *call, struct engine *engine, const char *name, void (*fn)(void *userdata))
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
	const struct vm_request request = create_request(http_call_body(call), engine);
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)vm_create(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_vm_show(struct http_call *call, struct engine *engine)
{
	if (!look(call, engine, http_call_arg(call), on_looked_at_one))
		reply_one(call, engine);
}

static void ask(struct http_call *call, struct engine *engine, enum vm_event event,
	const struct vm_options *options)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) >= 0)
		(void)vm_ask(vm, event, options, &op, &err);
	api_reply_op(call, op, err);
}

void api_vm_start(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_START, &(struct vm_options){0});
}

void api_vm_pause(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_PAUSE, &(struct vm_options){0});
}

void api_vm_resume(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_RESUME, &(struct vm_options){0});
}

void api_vm_suspend(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_SUSPEND, &(struct vm_options){0});
}

void api_vm_delete(struct http_call *call, struct engine *engine)
{
	ask(call, engine, VM_EV_DELETE,
		&(struct vm_options){.force = api_is_on(http_call_query(call, "force"))});
}

static void stop_or_restart(struct http_call *call, struct engine *engine, enum vm_event event)
{
	int64_t timeout = api_int(http_call_body(call), "timeout_s", 0);

	ask(call, engine, event, &(struct vm_options){.stop_timeout_s = (unsigned)timeout});
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
	const char *name = api_str(http_call_body(call), "signal");
	struct bg_err *err = NULL;

	if (name && parse_signal(name, &options.signo, &err) < 0)
		http_reply_error(call, err);
	else
		ask(call, engine, VM_EV_KILL, &options);
}

void api_vm_set(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const struct vm_change change = {
		.name = api_str(body, "name"),
		.has_nat = json_object_get(body, "nat"),
		.nat = api_bool(body, "nat", false),
		.has_peers = json_object_get(body, "peers"),
		.peers = api_bool(body, "peers", false),
		.has_with_init = json_object_get(body, "with_init"),
		.with_init = api_bool(body, "with_init", false),
		.has_balloon = json_object_get(body, "balloon"),
		.no_balloon = !api_bool(body, "balloon", true),
		.has_autostart = json_object_get(body, "autostart"),
		.autostart = api_bool(body, "autostart", false),
		.has_restart = json_object_get(body, "restart"),
		.restart = restart_policy_of(api_str(body, "restart")),
		.vcpus = cpus_of(body, 0),
		.memory_mib = size_of(body, "memory_mib"),
		.disk_mib = size_of(body, "disk_mib"),
		.work_mib = size_of(body, "work_mib"),
		.labels = json_object_get(body, "labels"),
		.publish = json_object_get(body, "publish"),
		.unpublish = json_object_get(body, "unpublish"),
		.expose = json_object_get(body, "expose"),
		.unexpose = json_object_get(body, "unexpose"),
	};

	ask(call, engine, VM_EV_SET, &(struct vm_options){.change = &change});
}

static struct log_part pick_log(const struct vm *vm, const char *log)
{
	if (bg_streq(log, "vmm"))
		return (struct log_part){vm->paths.vmm_log, vm->row->boot_vmm};
	return (struct log_part){vm->paths.serial_log, vm->row->boot_serial};
}

void api_vm_logs(struct http_call *call, struct engine *engine)
{
	const char *tail = http_call_query(call, "tail");
	const struct log_ask ask = {.follow = api_is_on(http_call_query(call, "follow")),
		.tail = tail ? strtol(tail, NULL, 10) : 0,
		.match = http_call_query(call, "match")};
	struct bg_err *err = NULL;
	struct log_part part;
	struct vm *vm;

	if (vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0) {
		http_reply_error(call, err);
		return;
	}
	part = pick_log(vm, http_call_query(call, "log"));
	if (!api_is_on(http_call_query(call, "boot")))
		part.from = 0;
	log_stream_reply(engine->loop, call, &part, &ask);
}
