/* SPDX-License-Identifier: ISC */
/* store_lib.h: what the tests of the store share: a loop, a store in the test's folder, rows, and waits for what it says. */
#ifndef BG_TESTS_UNIT_STORE_LIB_H
#define BG_TESTS_UNIT_STORE_LIB_H

#include "common/json.h"
#include "daemon/loop/loop.h"
#include "daemon/store/db.h"
#include "tests/lib/test.h"

struct fixture {
	struct loop *loop;
	struct store *store;
	unsigned vms, images, kernels; /* read by open_store */
	char names[64][32];	       /* of the VMs */
};

static inline char *S(const char *s)
{
	return (char *)(uintptr_t)s;
}

static inline struct vm_row lib_vm(const char *id, const char *name)
{
	return (struct vm_row){.name = S(name),
		.id = {id[0], id[1]},
		.state = STORE_VM_STOPPED,
		.image = S("default"),
		.kernel = S("k"),
		.vcpus = 2,
		.memory_mib = 1024,
		.disk_mib = 1 << 24,
		.work_mib = 7,
		.nat = true,
		.slot = -1,
		.storage = S("copy"),
		.created_at = 1700000000,
		.host_key_public = S("ssh-ed25519 AAAA"),
		.labels = S("{\"a\":\"b\"}")};
}

static inline struct image_row lib_image(const char *name)
{
	return (struct image_row){.name = S(name),
		.managed = true,
		.ready = true,
		.kernel = S("k"),
		.source = S("build"),
		.rootfs = S("/x/rootfs"),
		.size_bytes = 1 << 20};
}

static inline int lib_on_vm(struct vm_row *row, void *userdata)
{
	struct fixture *f = userdata;

	snprintf(f->names[f->vms++ % 64], sizeof(f->names[0]), "%s", row->name);
	vm_row_free(row);
	return 0;
}

static inline int lib_on_image(struct image_row *row, void *userdata)
{
	((struct fixture *)userdata)->images++;
	image_row_free(row);
	return 0;
}

static inline int lib_on_kernel(struct kernel_row *row, void *userdata)
{
	((struct fixture *)userdata)->kernels++;
	kernel_row_free(row);
	return 0;
}

static inline char *in_dir(const char *name)
{
	char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	return path;
}

/* 0 or the error of store_open; rows are counted. */
static inline int try_open(struct fixture *f, struct bg_err **err)
{
	int r;

	f->vms = f->images = f->kernels = 0;
	if (!f->loop)
		CHECK_INT(loop_new(&f->loop), 0);
	r = store_open(f->loop, test_tmpdir(), NULL, &f->store, err);
	if (r < 0)
		return r;
	CHECK_INT(store_vm_each(f->store, lib_on_vm, f, NULL), 0);
	CHECK_INT(store_image_each(f->store, lib_on_image, f, NULL), 0);
	CHECK_INT(store_kernel_each(f->store, lib_on_kernel, f, NULL), 0);
	return 0;
}

static inline void open_store(struct fixture *f)
{
	_err_ struct bg_err *err = NULL;

	if (try_open(f, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
}

static inline void close_store(struct fixture *f)
{
	store_close(TAKE_PTR(f->store));
}

static inline void reopen(struct fixture *f)
{
	close_store(f);
	open_store(f);
}

struct lib_wait {
	struct fixture *f;
	int errnum; /* -1: not done */
};

static inline void lib_on_done(const struct bg_err *err, void *userdata)
{
	struct lib_wait *wait = userdata;

	wait->errnum = err ? err->errnum : 0;
	loop_exit(wait->f->loop, 0);
}

static inline void lib_late(void *userdata)
{
	loop_exit(userdata, 1);
}

/* What was posted is on the disk: 0, or the error's number; -1 when nothing came within the time. */
static inline int commit_within(struct fixture *f, uint64_t usec)
{
	struct lib_wait wait = {f, -1};
	struct loop_source *late;
	struct store_call *call;

	CHECK_INT(loop_add_timer(f->loop, "late", usec, lib_late, f->loop, &late), 0);
	CHECK_INT(store_commit(f->store, lib_on_done, &wait, &call, NULL), 0);
	loop_run(f->loop);
	loop_source_free(late);
	store_call_free(call);
	return wait.errnum;
}

static inline int commit(struct fixture *f)
{
	return commit_within(f, 30000000);
}

/* A VM as vm_create leaves one: intent, folder, record. */
static inline void add_vm(struct fixture *f, const char *id, const char *name)
{
	struct vm_row row = lib_vm(id, name);
	_free_ char *dir = NULL;

	row.state = STORE_VM_CREATING;
	store_vm_put(f->store, &row);
	CHECK_INT(commit(f), 0);
	CHECK(asprintf(&dir, "mkdir -p %1$s/vms/%2$s && echo disk >%1$s/vms/%2$s/root.img",
		      test_tmpdir(), id) > 0);
	CHECK_INT(system(dir), 0);
	row.state = STORE_VM_STOPPED;
	store_vm_put(f->store, &row);
	CHECK_INT(commit(f), 0);
}

static inline void add_image(struct fixture *f, const char *name)
{
	struct image_row row = lib_image(name);

	store_image_put(f->store, &row);
	CHECK_INT(commit(f), 0);
}

static inline bool has_note(const struct fixture *f, const char *words)
{
	_json_ json_t *status = store_status(f->store);
	const json_t *notes = json_object_get(status, "notes");

	for (size_t i = 0; i < json_array_size(notes); i++)
		if (strstr(json_string_value(json_array_get(notes, i)), words))
			return true;
	return false;
}

/* In the store's folder. */
static inline bool shell(const char *command)
{
	_free_ char *text = NULL;

	CHECK(asprintf(&text, "cd '%s' && %s", test_tmpdir(), command) > 0);
	return system(text) == 0;
}

struct lib_until {
	struct loop *loop;
	const char *command;
};

static inline void lib_on_tick(void *userdata)
{
	const struct lib_until *wait = userdata;

	if (shell(wait->command))
		loop_exit(wait->loop, 0);
}

/* Until the command says so. */
static inline void lib_wait_for(struct fixture *f, const char *command)
{
	struct lib_until wait = {f->loop, command};
	struct loop_source *ticker, *late;

	CHECK_INT(loop_add_ticker(f->loop, "wait", 50000, lib_on_tick, &wait, &ticker), 0);
	CHECK_INT(loop_add_timer(f->loop, "late", 30000000, lib_late, f->loop, &late), 0);
	loop_run(f->loop);
	loop_source_free(ticker);
	loop_source_free(late);
	CHECK(shell(command));
}

#endif
