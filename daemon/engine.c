/* SPDX-License-Identifier: ISC */
/*
 * The engine: makes its parts in the order in which they need each other, puts right what the
 * last daemon left, serves, and takes the parts down again. Called by main.c in the sealed child.
 */
#include "daemon/engine.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "common/companion.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/launch.h"
#include "common/limits.h"
#include "common/log.h"
#include "daemon/api/api.h"
#include "daemon/asset/blobs.h"
#include "daemon/asset/seed.h"
#include "daemon/boot.h"
#include "daemon/dns/dns.h"
#include "daemon/driver/scope.h"
#include "daemon/farewell.h"
#include "daemon/helpers.h"
#include "daemon/priv/priv_client.h"
#include "daemon/trash.h"
#include "daemon/vm/boot_gate.h"
#include "daemon/vm/console.h"
#include "daemon/vm/health.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/tap_pool.h"
#include "daemon/vm/vm_dns.h"
#include "daemon/web/web.h"

/* What is cancelled by the stop may take longer to undo than replies and taps do. */
enum { INIT_PID = 1, DRAIN_STEP_USEC = 5000, DRAIN_STEPS = 400, UNDO_STEPS = 2000 };

struct parts {
	struct loop_source *sigterm, *sigint;
	char *worker_path, *init_path, *launcher_path;
	int worker_log;
};

static void on_op_changed(struct op *op, void *userdata)
{
	struct engine *engine = userdata;

	events_publish_op(engine->events, op);
}

/* Replies under way are still written and taps given back, within a bound. */
static void on_drain(void *userdata)
{
	struct engine *engine = userdata;

	unsigned undone = ops_stop(engine->ops);
	bool done = undone == 0 && http_busy(engine->http) == 0 && web_busy(engine->web) == 0 &&
		    tap_pool_drained(engine->pool);

	if (done || ++engine->drain_steps > (undone ? UNDO_STEPS : DRAIN_STEPS))
		loop_exit(engine->loop, 0);
}

void engine_stop(struct engine *engine)
{
	if (engine->stopping)
		return;
	engine->stopping = true;
	log_msg(LOG_INFO, "engine", "stopping; VMs keep running", NULL);
	events_end(engine->events);
	tap_pool_drain(engine->pool);
	(void)ops_stop(engine->ops);
	if (loop_add_ticker(
		    engine->loop, "drain", DRAIN_STEP_USEC, on_drain, engine, &engine->drain) < 0)
		loop_exit(engine->loop, 0);
}

static void on_monitor_gone(void *userdata)
{
	engine_stop(userdata);
}

static void on_monitor_stop(enum monitor_stop why, void *userdata)
{
	if (why == MONITOR_STOP_SESSION)
		farewell_begin(userdata);
	else
		engine_stop(userdata);
}

static void on_monitor_listen(int fd, void *userdata)
{
	const struct engine *engine = userdata;
	_err_ struct bg_err *err = NULL;

	if (http_listen(engine->http, fd, &err) < 0)
		log_err(LOG_ERROR, "engine", "cannot serve another socket", err);
}

static const struct monitor_events monitor_events = {
	.gone = on_monitor_gone, .stop = on_monitor_stop, .listen = on_monitor_listen};

/* From the process that ends sessions it comes to every process of the session: see monitor.c. */
static void on_signal(int signo, pid_t sender, void *userdata)
{
	(void)signo;
	if (sender == INIT_PID)
		farewell_begin(userdata);
	else
		engine_stop(userdata);
}

static void on_probed(const struct vmm_choice *choice, void *userdata)
{
	(void)userdata;
	if (choice->driver)
		log_msg(LOG_INFO, "vmm", choice->reason, "name", choice->driver->name, "version",
			choice->version ? choice->version : "unknown", NULL);
	else
		log_err(LOG_WARN, "vmm", "no VMM is usable", choice->err);
}

static void name_store(void)
{
	boot_retitle("bangerd: store", "bangerd-store");
}

static int make_workers(struct engine *engine, struct parts *parts, struct bg_err **err)
{
	int r = companion_find("worker", "banger-worker", &parts->worker_path, err);

	if (r >= 0)
		r = companion_find("guest", "banger-init", &parts->init_path, err);
	if (r >= 0)
		r = companion_find("launcher", BG_LAUNCH_PROGRAM, &parts->launcher_path, err);
	if (r < 0)
		return r;
	engine->init_path = parts->init_path;
	engine->launcher_path = parts->launcher_path;
	r = jobs_new(engine->loop, parts->worker_path, parts->worker_log, &engine->jobs, err);
	if (r >= 0)
		jobs_name_log(engine->jobs, engine->paths->worker_log);
	return r;
}

/* Of the file system of the state, and of the layers'. */
static int make_trash(struct engine *engine, const struct parts *parts, struct bg_err **err)
{
	_free_ char *state = NULL, *cache = NULL;
	int r;

	if (asprintf(&state, "%s/trash", engine->paths->state_dir) < 0 ||
		asprintf(&cache, "%s/trash", engine->paths->cache_dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = trash_new(engine->loop, parts->worker_path, parts->worker_log,
		(const char *const[]){state, cache}, 2, &engine->trash, err);
	if (r >= 0)
		trash_serve(engine->trash, engine->jobs);
	return r;
}

/* What the rest needs and what may fail for reasons the user should see. */
static int make_base(
	struct engine *engine, struct engine_boot *boot, struct parts *parts, struct bg_err **err)
{
	int r;

	if (sodium_init() < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, EIO, "libsodium does not start");
	r = loop_new(&engine->loop);
	if (r >= 0)
		r = events_new(engine->loop, &engine->events);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "make the event loop");
	r = store_open(engine->loop, engine->paths->state_dir, name_store, &engine->store, err);
	if (r >= 0)
		r = make_workers(engine, parts, err);
	if (r >= 0)
		r = make_trash(engine, parts, err);
	if (r >= 0)
		r = monitor_client_new(engine->loop, TAKE_FD(boot->monitor_sock), &monitor_events,
			engine, &engine->monitor, err);
	if (r >= 0)
		r = ops_new(engine->loop, engine->store, on_op_changed, engine, &engine->ops);
	return r;
}

static int make_drivers(struct engine *engine, struct engine_boot *boot, struct bg_err **err)
{
	int r = net_new(
		engine->loop, TAKE_FD(boot->helper_sock), engine->helper_path, &engine->net, err);

	if (r < 0)
		return r;
	r = disk_new(engine->loop, TAKE_FD(boot->disk_sock), priv_disk_helper_path(), &engine->disk,
		err);
	if (r < 0)
		return r;
	engine->storage = storage_choose(
		engine->config->storage, engine->paths->state_dir, &engine->storage_reason, err);
	engine->storage_known = engine->storage != NULL;
	if (!engine->storage && *err)
		return -ENOTSUP;
	if (!engine->storage) {
		engine->storage = &storage_copy;
		engine->storage_reason = "copy, until the disk helper has answered";
	}
	engine->scope_socket = scope_socket(&engine->scope_why);
	return vmm_probe_start(
		engine->loop, engine->config, on_probed, engine, &engine->probe, err);
}

static int make_nouns(struct engine *engine, struct bg_err **err)
{
	int r = keys_open(engine->paths->ssh_dir, engine->config->ssh_key_path, &engine->keys, err);

	if (r >= 0)
		r = kernels_new(engine, &engine->kernels, err);
	if (r >= 0)
		r = images_new(engine, &engine->images, err);
	if (r >= 0)
		images_prune_seeds(engine->images);
	if (r >= 0)
		r = blobs_new(engine, &engine->blobs, err);
	if (r >= 0)
		r = vms_new(engine, &engine->vms, err);
	if (r >= 0)
		keys_bind(engine->keys, engine->loop, engine->vms);
	if (r >= 0 && tap_pool_new(engine, engine->config->tap_pool, &engine->pool) < 0)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0 && (boot_gate_new(&engine->boots) < 0 || boot_gate_new(&engine->builds) < 0))
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return r;
}

static int make_signals(struct engine *engine, struct parts *parts, struct bg_err **err)
{
	int r = loop_add_signal_from(
		engine->loop, "sigterm", SIGTERM, on_signal, engine, &parts->sigterm);

	if (r >= 0)
		r = loop_add_signal_from(
			engine->loop, "sigint", SIGINT, on_signal, engine, &parts->sigint);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch signals") : 0;
}

/* The second bar, should a VMM ever find a way past its seal (vmm_seal.c): it cannot have children.
 */
static bool is_vmm(pid_t pid, struct engine *engine)
{
	return vms_run_as(engine->vms, pid);
}

static int make_all(
	struct engine *engine, struct engine_boot *boot, struct parts *parts, struct bg_err **err)
{
	int r = make_base(engine, boot, parts, err);

	if (r >= 0)
		r = make_drivers(engine, boot, err);
	if (r >= 0)
		r = make_nouns(engine, err);
	if (r >= 0)
		r = make_signals(engine, parts, err);
	if (r < 0)
		return r;
	r = vms_watch_disks(engine, err);
	if (r >= 0)
		r = space_new(engine, &engine->space, err);
	if (r >= 0)
		r = console_new(engine, &engine->console, err);
	if (r >= 0)
		r = health_new(engine, &engine->health, err);
	if (r >= 0)
		r = vms_recover(engine, err);
	if (r < 0)
		return r;
	vm_dns_start(engine);
	r = helpers_new(engine, &engine->helpers);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "look after the helpers");
	api_routes_bind();
	r = http_new(engine->loop, engine, TAKE_FD(boot->listen_fd), &engine->http, err);
	if (r < 0)
		return r;
	http_set_barred(engine->http, is_vmm);
	revive_all(engine);
	return web_new(engine, &engine->web, err);
}

/* Opposite order. Operations go first: what they wait for belongs to the parts below. */
static void unmake(struct engine *engine, struct parts *parts)
{
	web_stop(engine->web);
	events_free(TAKE_PTR(engine->events));
	ops_free(engine->ops);
	http_free(engine->http);
	health_free(TAKE_PTR(engine->health));
	web_free(TAKE_PTR(engine->web));
	console_free(engine->console);
	space_free(engine->space);
	boot_gate_free(engine->boots);
	boot_gate_free(engine->builds);
	tap_pool_free(engine->pool);
	if (engine->vms)
		keys_settle(engine->keys);
	vms_free(engine->vms);
	blobs_free(engine->blobs);
	images_free(engine->images);
	kernels_free(engine->kernels);
	keys_free(engine->keys);
	vmm_probe_free(engine->probe);
	helpers_free(engine->helpers);
	net_call_free(engine->net_boot);
	net_call_free(engine->dns_call);
	dns_free(engine->dns);
	bg_err_free(engine->dns_err);
	net_free(engine->net);
	disk_call_free(engine->disk_boot);
	disk_free(engine->disk);
	monitor_client_free(engine->monitor);
	jobs_free(engine->jobs);
	trash_free(engine->trash);
	store_close(engine->store);
	loop_source_free(parts->sigterm);
	loop_source_free(parts->sigint);
	loop_source_free(engine->drain);
	loop_source_free(engine->farewell);
	free(engine->scope_socket);
	loop_free(engine->loop);
	free(parts->worker_path);
	free(parts->init_path);
	free(parts->launcher_path);
	bg_close(parts->worker_log);
	bg_err_free(engine->storage_err);
}

int engine_run(struct engine_boot *boot, struct bg_err **err)
{
	struct engine engine = {
		.paths = boot->paths,
		.config = boot->config,
		.helper_path = boot->helper_path,
		.monitor_pid = boot->monitor_pid,
		.started_at = time(NULL),
	};
	struct parts parts = {.worker_log = TAKE_FD(boot->worker_log)};
	int r = make_all(&engine, boot, &parts, err);

	if (r >= 0) {
		log_msg(LOG_INFO, "engine", "serving", "socket", boot->paths->socket, "version",
			BG_VERSION, NULL);
		(void)monitor_client_ready(engine.monitor);
		r = loop_run(engine.loop);
	}
	unmake(&engine, &parts);
	return r;
}
