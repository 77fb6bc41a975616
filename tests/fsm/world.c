/* SPDX-License-Identifier: ISC */
/* world.c: Builds the parts as engine.c does, with the fakes in the places of the drivers. */
#include "tests/fsm/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/seal.h"
#include "daemon/trash.h"
#include "daemon/vm/boot_gate.h"
#include "daemon/vm/tap_pool.h"
#include "tests/lib/test.h"

#define STORE_COMM "bangerd-store"

enum { WAIT_USEC = 120000000, POLL_USEC = 2000 };

static char last_code[64];

const char *world_last_code(void)
{
	return last_code;
}

static void set_code(const char *code)
{
	snprintf(last_code, sizeof(last_code), "%s", code ? code : "");
}

static char *path_of(const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", test_tmpdir(), name) < 0)
		abort();
	return path;
}

static void put_file(const char *path)
{
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, "x", 1, 0600), 0);
}

static void make_paths(struct world *w)
{
	struct bg_err *err = NULL;

	w->paths = (struct bg_paths){
		.home = path_of("home"),
		.config_dir = path_of("config"),
		.config_file = path_of("config/config.toml"),
		.ssh_dir = path_of("config/ssh"),
		.state_dir = path_of("state"),
		.log_file = path_of("state/bangerd.log"),
		.worker_log = path_of("state/worker.log"),
		.cache_dir = path_of("cache"),
		.run_dir = path_of("run"),
		.socket = path_of("run/bangerd.sock"),
	};
	w->init_path = path_of("init");
	w->trash_dir = path_of("state/trash");
	CHECK_INT(bg_paths_create(&w->paths, &err), 0);
	put_file(w->init_path);
}

/* As long as the row says, with the mark of a file system at its place. */
static void put_disk(const char *path)
{
	static const uint8_t magic[] = {0x53, 0xef};
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK_INT(ftruncate(fd, MIB), 0);
	CHECK_INT(pwrite(fd, magic, sizeof(magic), 1024 + 56), sizeof(magic));
}

static void name_store(void)
{
	prctl(PR_SET_NAME, STORE_COMM, 0, 0, 0);
}

static void open_store(struct world *w)
{
	_err_ struct bg_err *err = NULL;

	if (store_open(w->engine.loop, w->paths.state_dir, name_store, &w->engine.store, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
}

/* Rows as an import and a build would leave them. */
static void make_assets(struct world *w)
{
	_free_ char *kernel = path_of("vmlinuz"), *rootfs = path_of("rootfs"),
		    *seed = path_of("seed");
	struct kernel_row k = {
		.name = (char *)"k", .ready = true, .format = (char *)"elf", .path = kernel};
	struct image_row i = {.name = (char *)"img",
		.managed = true,
		.ready = true,
		.kernel = (char *)"k",
		.source = (char *)"build",
		.rootfs = rootfs,
		.work_seed = seed,
		.has_sshd = true,
		.size_bytes = MIB};

	put_file(kernel);
	put_disk(rootfs);
	put_disk(seed);
	store_kernel_put(w->engine.store, &k);
	store_image_put(w->engine.store, &i);
	/* They are read by the next one. */
	store_close(w->engine.store);
	open_store(w);
}

static bool probed(struct world *w, void *userdata)
{
	return vmm_probe_choice(w->engine.probe) != NULL;
}

static void on_probed(const struct vmm_choice *choice, void *userdata)
{
}

static void cancel_now(void *userdata)
{
	CHECK_INT(op_cancel(userdata), 0);
}

/* Cancels from the loop, as a client would, as soon as the stage has begun. */
static void on_changed(struct op *op, void *userdata)
{
	struct world *w = userdata;
	_json_ json_t *record = op_to_json(op);
	const json_t *stages = json_object_get(record, "stages");
	const json_t *stage = json_array_get(stages, json_array_size(stages) - 1);

	if (!w->cancel_at ||
		!bg_streq(json_string_value(json_object_get(stage, "name")), w->cancel_at))
		return;
	w->cancel_at = NULL;
	CHECK_INT(loop_defer(w->engine.loop, "test-cancel", cancel_now, op, &w->cancel), 0);
}

/* With the real worker. */
static void make_workers(struct world *w)
{
	_free_ char *log = path_of("state/worker.log"), *worker = NULL;
	const char *dir = w->trash_dir;

	CHECK(asprintf(&worker, "%s/worker/banger-worker", test_build_dir()) > 0);
	w->worker_log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(w->worker_log >= 0);
	CHECK_INT(trash_new(w->engine.loop, worker, w->worker_log, &dir, 1, &w->engine.trash, NULL),
		0);
	CHECK_INT(jobs_new(w->engine.loop, worker, w->worker_log, &w->engine.jobs, NULL), 0);
	trash_serve(w->engine.trash, w->engine.jobs);
}

static void open_engine(struct world *w, bool fresh)
{
	struct engine *e = &w->engine;
	struct bg_err *err = NULL;

	*e = (struct engine){.paths = &w->paths,
		.config = w->config,
		.init_path = w->init_path,
		.helper_path = "/fake",
		.started_at = time(NULL),
		.storage = &storage_fake,
		.storage_reason = "a test",
		.storage_known = true};
	CHECK_INT(loop_new(&e->loop), 0);
	CHECK_INT(events_new(e->loop, &e->events), 0);
	open_store(w);
	if (fresh)
		make_assets(w);
	make_workers(w);
	CHECK_INT(ops_new(e->loop, e->store, on_changed, w, &e->ops), 0);
	CHECK_INT(net_new_fake(e->loop, &e->net), 0);
	CHECK_INT(disk_new(e->loop, -1, "/fake", &e->disk, &err), 0);
	CHECK_INT(vmm_probe_start(e->loop, w->config, on_probed, NULL, &e->probe, &err), 0);
	world_run(w, probed, NULL);
	CHECK(vmm_probe_choice(e->probe)->driver == &vmm_fake);
	CHECK_INT(keys_open(w->paths.ssh_dir, NULL, &e->keys, &err), 0);
	CHECK_INT(kernels_new(e, &e->kernels, &err), 0);
	CHECK_INT(images_new(e, &e->images, &err), 0);
	CHECK_INT(vms_new(e, &e->vms, &err), 0);
	keys_bind(e->keys, e->loop, e->vms);
	CHECK_INT(tap_pool_new(e, w->config->tap_pool, &e->pool), 0);
	CHECK_INT(boot_gate_new(&e->boots), 0);
	CHECK_INT(boot_gate_new(&e->builds), 0);
	CHECK_INT(vms_recover(e, NULL), 0);
}

void world_set_behaviour(const char *behaviour)
{
	setenv("BANGER_FAKE_BEHAVIOUR", behaviour ? behaviour : "ready=0", 1);
}

void world_open(struct world *w, const char *behaviour)
{
	_free_ char *fake = NULL, *none = path_of("no-config");

	*w = (struct world){0};
	CHECK(sodium_init() >= 0);
	CHECK(asprintf(&fake, "%s/tests/lib/fake-vmm", test_build_dir()) > 0);
	if (access(fake, X_OK) < 0) {
		free(fake);
		CHECK(asprintf(&fake, "%s/tests/fake-vmm", test_build_dir()) > 0);
	}
	setenv("BANGER_FAKE_VMM", fake, 1);
	setenv(LOOP_LIMIT_ENV, BG_SANITIZED ? "250" : "50", 0);
	world_set_behaviour(behaviour);
	make_paths(w);
	CHECK_INT(config_load(none, &w->config, NULL), 0);
	free(w->config->default_image_name);
	w->config->default_image_name = strdup("img");
	w->config->default_disk_mib = 16;
	w->config->default_work_mib = 16;
	w->config->boot_timeout_s = 10;
	w->config->tap_pool = 0; /* those tests that are about it fill it */
	open_engine(w, true);
}

void world_close(struct world *w)
{
	struct engine *e = &w->engine;

	CHECK_INT(loop_over_limit(), 0); /* its error says which */
	loop_source_free(TAKE_PTR(w->cancel));
	ops_free(e->ops);
	boot_gate_free(e->boots);
	boot_gate_free(e->builds);
	tap_pool_free(e->pool);
	keys_settle(e->keys);
	vms_free(e->vms);
	images_free(e->images);
	kernels_free(e->kernels);
	keys_free(e->keys);
	jobs_free(e->jobs);
	trash_free(e->trash);
	w->worker_log = bg_close(w->worker_log);
	vmm_probe_free(e->probe);
	net_call_free(e->net_boot);
	net_free(e->net);
	disk_free(e->disk);
	events_free(e->events);
	store_close(e->store);
	loop_free(e->loop);
}

void world_reopen(struct world *w)
{
	world_close(w);
	open_engine(w, false);
}

struct wait {
	struct world *w;
	bool (*cond)(struct world *w, void *userdata);
	void *userdata;
	uint64_t deadline;
	bool late;
};

static void on_poll(void *userdata)
{
	struct wait *wait = userdata;

	wait->late = loop_now_usec() > wait->deadline;
	if (wait->late || wait->cond(wait->w, wait->userdata))
		loop_exit(wait->w->engine.loop, 0);
}

void world_run(struct world *w, bool (*cond)(struct world *w, void *userdata), void *userdata)
{
	struct wait wait = {.w = w,
		.cond = cond,
		.userdata = userdata,
		.deadline = loop_now_usec() + WAIT_USEC};
	struct loop_source *ticker = NULL;

	CHECK_INT(loop_add_ticker(w->engine.loop, "test-wait", POLL_USEC, on_poll, &wait, &ticker),
		0);
	loop_run(w->engine.loop);
	loop_source_free(ticker);
	CHECK(!wait.late);
}

static bool op_ended(struct world *w, void *userdata)
{
	return op_state(userdata) != OP_RUNNING;
}

enum op_state world_wait(struct world *w, struct op *op)
{
	const json_t *error = NULL;
	const char *code = NULL;
	json_t *record;

	world_run(w, op_ended, op);
	record = op_to_json(op);
	if (bg_json_get_obj(record, "error", &error) >= 0)
		(void)bg_json_get_str(error, "code", &code);
	set_code(code);
	json_decref(record);
	return op_state(op);
}

enum op_state world_create(struct world *w, const char *name, bool start)
{
	struct vm_request request = {.name = name, .vcpus = UINT32_MAX, .start = start};
	_err_ struct bg_err *err = NULL;
	struct op *op;

	if (vm_create(&w->engine, &request, &op, &err) < 0) {
		set_code(bg_err_code_str(err->code));
		return OP_FAILED;
	}
	return world_wait(w, op);
}

enum op_state world_ask(struct world *w, const char *name, enum vm_event event)
{
	_err_ struct bg_err *err = NULL;
	struct op *op;

	if (vm_ask(vms_find(w->engine.vms, name), event, &(struct vm_options){.stop_timeout_s = 2},
		    &op, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s refused: %s", vm_event_str(event), err->message);
	return world_wait(w, op);
}

static unsigned entries_in(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	if (!d)
		return 0;
	for (const struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] != '.';
	closedir(d);
	return n;
}

static bool is_named(const char *pid, const char *name)
{
	_free_ char *comm = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", atoi(pid));
	return bg_read_file_at(AT_FDCWD, path, 64, &comm, NULL) >= 0 && bg_streq(comm, name);
}

static bool is_worker(const char *pid)
{
	return is_named(pid, "banger-worker\n");
}

static unsigned children(bool workers)
{
	_free_ char *text = NULL;
	char path[64];
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (bg_read_file_at(AT_FDCWD, path, 65536, &text, NULL) < 0)
		return 0;
	for (const char *p = text; *p; p = strchrnul(p, ' '), p += *p == ' ')
		n += (workers || !is_worker(p)) && !is_named(p, STORE_COMM "\n");
	return n;
}

static bool children_are(struct world *w, void *userdata)
{
	return children(false) == *(unsigned *)userdata;
}

/* Soon: one that was just started has not become what it is yet. */
void world_expect_children(struct world *w, unsigned n)
{
	world_run(w, children_are, &n);
}

static bool no_worker(struct world *w, void *userdata)
{
	return children(true) == children(false);
}

static void on_settled(const struct bg_err *err, void *userdata)
{
	CHECK(!err);
	*(bool *)userdata = true;
}

static bool is_set(struct world *w, void *userdata)
{
	return *(bool *)userdata;
}

/* The store's file is its own: what it has is seen in a copy. */
static int stored_vms(struct world *w)
{
	_json_ json_t *status = NULL;
	_free_ char *command = NULL, *copy = path_of("copy.db");
	struct store_call *call;
	sqlite3_stmt *stmt;
	sqlite3 *db;
	bool settled = false;
	int n;

	CHECK_INT(store_commit(w->engine.store, on_settled, &settled, &call, NULL), 0);
	world_run(w, is_set, &settled);
	store_call_free(call);
	status = store_status(w->engine.store);
	CHECK(asprintf(&command, "cp %1$s %2$s && cp %1$s-wal %2$s-wal",
		      json_string_value(json_object_get(status, "file")), copy) > 0);
	CHECK_INT(system(command), 0);
	CHECK_INT(sqlite3_open(copy, &db), SQLITE_OK);
	CHECK_INT(sqlite3_prepare_v2(
			  db, "SELECT count(*) FROM row WHERE tab = 'vm'", -1, &stmt, NULL),
		SQLITE_OK);
	CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static bool trash_empty(struct world *w, void *userdata)
{
	return trash_is_empty(w->engine.trash);
}

void world_check_empty(struct world *w)
{
	_free_ char *vms = path_of("state/vms"), *run = path_of("run/vm");

	CHECK_INT(loop_over_limit(), 0);
	CHECK(!vms_first(w->engine.vms));
	world_run(w, trash_empty, NULL);
	world_run(w, no_worker, NULL);
	CHECK_INT(entries_in(w->trash_dir), 0);
	CHECK_INT(stored_vms(w), 0);
	CHECK_INT(entries_in(vms), 0);
	CHECK_INT(entries_in(run), 0);
	CHECK_INT(net_fake_attached(w->engine.net), 0);
	world_expect_children(w, 0);
	CHECK_INT(ops_running(w->engine.ops), 0);
}
