/* SPDX-License-Identifier: ISC */
/*
 * Pause, suspend and resume over fakes, with the real worker: what is kept, what of it is believed, and what is
 * left when the VMM, the worker or the daemon ends at each step.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/vm/vm_saved.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(void)
{
	return vms_find(w.engine.vms, "a");
}

static enum vm_state state(void)
{
	return (enum vm_state)vm()->row->state;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void open_running(void)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
}

static void open_suspended(void)
{
	open_running();
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
	CHECK_INT(state(), VM_SUSPENDED);
}

/* What the fake found in its memory: how many had been started on it before, and itself. */
static unsigned starts_of_memory(void)
{
	_free_ char *text = NULL;
	const char *last = NULL;

	CHECK(bg_read_file_at(AT_FDCWD, vm()->paths.serial_log, 1 << 20, &text, NULL) >= 0);
	for (const char *p = text; (p = strstr(p, "fake-vmm: start ")); p++)
		last = p;
	return last ? (unsigned)atoi(last + strlen("fake-vmm: start ")) : 0;
}

/* The same of a suspended one's memory. */
static unsigned starts_on_disk(void)
{
	_close_ int fd = open(vm()->paths.memory, O_RDONLY | O_CLOEXEC);
	uint64_t n = 0;

	CHECK_INT(pread(fd, &n, sizeof(n), 0), sizeof(n));
	return (unsigned)n;
}

static void check_running(void)
{
	CHECK_INT(state(), VM_RUNNING);
	CHECK(vm()->row->pid > 0);
	CHECK(!vm_saved_is(vm()));
	CHECK(!is_there(vm()->paths.memory) && !is_there(vm()->paths.devices));
	world_expect_children(&w, 1);
}

static void check_suspended(void)
{
	CHECK_INT(state(), VM_SUSPENDED);
	CHECK_INT(vm()->row->pid, 0);
	CHECK_INT(vm()->row->slot, -1);
	CHECK(vm_saved_is(vm()) && vm_saved_bytes(vm()) > 0 && vm_saved_at(vm()) > 0);
	CHECK(is_there(vm()->paths.memory) && is_there(vm()->paths.devices));
	world_expect_children(&w, 0);
}

static void refused(enum vm_event event, const char *words)
{
	_err_ struct bg_err *err = NULL;
	struct op *op;

	CHECK(vm_ask(vm(), event, &(struct vm_options){0}, &op, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "vm.wrong_state");
	CHECK(strstr(err->message, words) || (err->hint && strstr(err->hint, words)));
}

TEST(paused_and_on_again)
{
	int64_t pid;

	open_running();
	pid = vm()->row->pid;
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	CHECK_INT(state(), VM_PAUSED);
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE); /* it is already */
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	CHECK_INT(state(), VM_RUNNING);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE); /* it is already */
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(state(), VM_RUNNING);
	CHECK_INT(vm()->row->pid, pid);
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE); /* cleanly: it goes on for that */
	CHECK_INT(state(), VM_STOPPED);
	refused(VM_EV_PAUSE, "not running");
	refused(VM_EV_SUSPEND, "not running");
	refused(VM_EV_RESUME, "not running");
}

TEST(a_vmm_that_cannot_pause)
{
	open_running();
	world_set_behaviour("no-pause");
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_FAILED);
	check_running();
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_FAILED);
	check_running();
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	world_set_behaviour("no-resume");
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_FAILED);
	CHECK_INT(state(), VM_PAUSED);
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	check_running();
}

TEST(suspended_and_on_again)
{
	_free_ char *address = NULL;

	open_running();
	address = strdup(vm()->row->address);
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_INT(starts_of_memory(), i);
		CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
		check_suspended();
		CHECK_INT(net_fake_attached(w.engine.net), 0);
		CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE); /* it is already */
		CHECK_INT(world_ask(&w, "a", i == 2 ? VM_EV_START : VM_EV_RESUME), OP_DONE);
		check_running();
		CHECK(vm()->ready);
		CHECK(!vm()->row->resume_note);
		CHECK_STR(vm()->row->address, address);
	}
	CHECK_INT(starts_of_memory(), 4);
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
	check_suspended();
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(what_a_suspended_vm_cannot)
{
	const struct vm_change bigger = {.disk_mib = 1 << 20}, more = {.memory_mib = 4096},
			       label = {.labels = json_pack("{s:s}", "k", "v")};
	_err_ struct bg_err *err = NULL, *err2 = NULL;
	struct op *op;

	open_suspended();
	refused(VM_EV_STOP, "vm resume a");
	refused(VM_EV_RESTART, "vm kill a");
	refused(VM_EV_PAUSE, "is suspended");
	CHECK(vm_ask(vm(), VM_EV_SET, &(struct vm_options){.change = &bigger}, &op, &err) < 0);
	CHECK(vm_ask(vm(), VM_EV_SET, &(struct vm_options){.change = &more}, &op, &err2) < 0);
	CHECK_INT(vm_ask(vm(), VM_EV_SET, &(struct vm_options){.change = &label}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	json_decref((json_t *)label.labels);
	check_suspended();
	CHECK_INT(world_ask(&w, "a", VM_EV_KILL), OP_DONE);
	CHECK_INT(state(), VM_STOPPED);
	CHECK(!vm_saved_is(vm()) && !is_there(vm()->paths.memory));
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(starts_of_memory(), 1);
	check_running();
}

/* Its address is in its memory, so nobody else gets it. */
TEST(the_address_of_a_suspended_vm_is_kept)
{
	_free_ char *address = NULL;

	open_running();
	address = strdup(vm()->row->address);
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
	for (unsigned i = 0; i + 1 < net_slots(w.engine.net); i++) {
		char name[16];

		snprintf(name, sizeof(name), "v%u", i);
		CHECK_INT(world_create(&w, name, true), OP_DONE);
		CHECK(!bg_streq(vms_find(w.engine.vms, name)->row->address, address));
	}
	CHECK_INT(world_create(&w, "late", true), OP_FAILED);
	CHECK_STR(world_last_code(), "helper.no_free_slot");
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	CHECK_STR(vm()->row->address, address);
	CHECK(!vm()->row->resume_note);
}

static void flip(const char *path, off_t at)
{
	_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 1;
	CHECK_INT(pwrite(fd, &byte, 1, at), 1);
}

static void change_memory(void)
{
	flip(vm()->paths.memory, 0);
}

/* In what was a hole. */
static void add_to_memory(void)
{
	flip(vm()->paths.memory, 20 << 20);
}

static void change_devices(void)
{
	flip(vm()->paths.devices, 3);
}

static void cut_memory(void)
{
	CHECK_INT(truncate(vm()->paths.memory, 1 << 20), 0);
}

static void take_devices(void)
{
	CHECK_INT(unlink(vm()->paths.devices), 0);
}

static void link_memory(void)
{
	_free_ char *other = NULL;

	CHECK(asprintf(&other, "%s.other", vm()->paths.memory) > 0);
	CHECK_INT(rename(vm()->paths.memory, other), 0);
	CHECK_INT(symlink(other, vm()->paths.memory), 0);
}

static void write_disk(void)
{
	flip(vm()->paths.disk_root, 0);
}

static void replace_disk(void)
{
	_free_ char *command = NULL;

	CHECK(asprintf(&command, "cp -a --sparse=always %1$s %1$s.new && mv %1$s.new %1$s",
		      vm()->paths.disk_work) > 0);
	CHECK_INT(system(command), 0);
}

/* Text of the same length, which the record is then about. */
static void put_in_record(const char *key, const char *value)
{
	json_t *json = json_loads(vm()->row->saved, 0, NULL);

	json_object_set_new(json, key, json_string(value));
	free(vm()->row->saved);
	vm()->row->saved = json_dumps(json, JSON_COMPACT);
	json_decref(json);
}

static void other_vmm(void)
{
	put_in_record("vmm", "firecracker");
}

/* Neither the mark of the file nor its digest fit. */
static void other_program(void)
{
	put_in_record("program", "another");
	put_in_record("binary", "0000");
}

static void other_machine(void)
{
	put_in_record("machine", "0000");
}

static void other_address(void)
{
	put_in_record("address", "10.209.0.77");
}

static void no_record(void)
{
	free(vm()->row->saved);
	vm()->row->saved = strdup("not JSON");
}

static void refuses(void)
{
	world_set_behaviour("no-load");
}

/* Never given to a VMM, or not taken by it: the VM boots from its disks and says why. */
TEST(what_does_not_fit_is_booted)
{
	static const struct {
		void (*spoil)(void);
		const char *words;
	} cases[] = {
		{change_memory, "digest"},
		{add_to_memory, "digest"},
		{change_devices, "digest"},
		{cut_memory, "not whole"},
		{take_devices, "not whole"},
		{link_memory, "not whole"},
		{write_disk, "root.img was changed"},
		{replace_disk, "work.img was changed"},
		{other_vmm, "suspended under firecracker"},
		{other_program, "program is another"},
		{other_machine, "other devices"},
		{other_address, "10.209.0.77"},
		{no_record, "cannot be read"},
		{refuses, "refused"},
	};

	open_running();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
		check_suspended();
		cases[i].spoil();
		CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
		world_set_behaviour(NULL);
		check_running();
		CHECK(vm()->ready);
		CHECK_INT(starts_of_memory(), 1);
		CHECK(vm()->row->resume_note &&
			strstr(vm()->row->resume_note, "booted from its disks"));
		if (!strstr(vm()->row->resume_note, cases[i].words))
			test_fail(__FILE__, __LINE__, "\"%s\" is not in: %s", cases[i].words,
				vm()->row->resume_note);
	}
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK(!vm()->row->resume_note);
}

/* The same program under another name and time is the same program. */
TEST(a_program_is_known_by_its_digest)
{
	open_suspended();
	put_in_record("program", "another");
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	CHECK(!vm()->row->resume_note);
	CHECK_INT(starts_of_memory(), 2);
}

TEST(a_vmm_that_fails)
{
	open_running();
	world_set_behaviour("no-save");
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_FAILED);
	check_running();
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
	/* Killed by a signal: that says nothing about the state. */
	world_set_behaviour("die-load");
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_FAILED);
	check_suspended();
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	check_running();
	CHECK_INT(starts_of_memory(), 2);
	world_set_behaviour("die-save");
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_FAILED);
	CHECK_INT(state(), VM_STOPPED);
	CHECK(vm()->error && vm()->error->code == BG_ERR_VMM_DIED);
	CHECK(!is_there(vm()->paths.memory));
}

/* Nothing is made where there is no room for it, and the guest is not even stopped. */
TEST(no_room)
{
	uint64_t reserve;

	open_running();
	reserve = w.config->disk_reserve_mib;
	w.config->disk_reserve_mib = UINT64_C(1) << 40;
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_FAILED);
	CHECK_STR(world_last_code(), "disk.full");
	check_running();
	w.config->disk_reserve_mib = reserve;
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
	check_suspended();
}

/* ---- at each step ---- */

/* What can be told apart of how far an operation is. */
struct sight {
	const struct op *op;
	char text[256];
	bool saved, vmm, memory;
	unsigned left; /* changes until the loop ends */
};

static bool look(struct sight *s)
{
	_json_ json_t *record = op_to_json((struct op *)(uintptr_t)s->op);
	const json_t *stages = json_object_get(record, "stages");
	const json_t *stage = json_array_get(stages, json_array_size(stages) - 1);
	struct sight now = {.saved = vm_saved_is(vm()),
		.vmm = vm()->vmm,
		.memory = is_there(vm()->paths.memory)};
	bool changed;

	snprintf(now.text, sizeof(now.text), "%zu %s", json_array_size(stages),
		json_string_value(json_object_get(stage, "text")));
	changed = strcmp(now.text, s->text) != 0 || now.saved != s->saved || now.vmm != s->vmm ||
		  now.memory != s->memory;
	strcpy(s->text, now.text);
	s->saved = now.saved;
	s->vmm = now.vmm;
	s->memory = now.memory;
	return changed;
}

static bool comes_to(struct world *world, void *userdata)
{
	struct sight *s = userdata;

	(void)world;
	return op_state(s->op) != OP_RUNNING || (look(s) && --s->left == 0);
}

/* Until its nth change; false: it ended before. */
static struct op *begin(enum vm_event event, unsigned n, bool *ret_running)
{
	struct sight s = {.left = n};
	struct op *op;

	CHECK_INT(vm_ask(vm(), event, &(struct vm_options){0}, &op, NULL), 0);
	s.op = op;
	world_run(&w, comes_to, &s);
	*ret_running = op_state(op) == OP_RUNNING;
	return op;
}

static bool is_quiet(struct world *world, void *userdata)
{
	(void)userdata;
	return ops_running(world->engine.ops) == 0;
}

static void kill_vmm(struct op *op)
{
	if (vm()->row->pid > 0)
		(void)kill((pid_t)vm()->row->pid, SIGKILL);
	(void)world_wait(&w, op);
}

static void kill_workers(struct op *op)
{
	char line[64];
	FILE *f;

	CHECK(snprintf(line, sizeof(line), "pgrep -P %d -x banger-worker", (int)getpid()) > 0);
	f = popen(line, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		(void)kill((pid_t)atoi(line), SIGKILL);
	pclose(f);
	(void)world_wait(&w, op);
}

/* Its VMMs are nobody's children then, but here they stay this process's: one that has ended meanwhile is reaped. */
static void next_daemon(void)
{
	pid_t pid = (pid_t)vm()->row->pid;

	world_reopen(&w);
	world_run(&w, is_quiet, NULL);
	if (pid > 0 && vm()->row->pid != pid)
		(void)waitpid(pid, NULL, WNOHANG);
}

static void kill_daemon(struct op *op)
{
	(void)op;
	next_daemon();
}

static void cancel(struct op *op)
{
	(void)op_cancel(op);
	(void)world_wait(&w, op);
}

static void (*const blows[])(struct op *op) = {kill_vmm, kill_workers, kill_daemon, cancel};

/* Whatever it is now, it is that whole, and runs again. */
static void check_whole(bool lost_may_be)
{
	bool suspended = state() == VM_SUSPENDED, stopped = state() == VM_STOPPED;
	unsigned starts = suspended ? starts_on_disk() : starts_of_memory();

	if (suspended)
		check_suspended();
	else if (!stopped)
		check_running();
	CHECK(!stopped || lost_may_be);
	CHECK(is_there(vm()->paths.disk_root) && is_there(vm()->paths.disk_work));
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	check_running();
	CHECK(!vm()->row->resume_note);
	/* Never another memory than that of before: one start more of the same, or of a new one. */
	CHECK_INT(starts_of_memory(), stopped ? 1 : suspended ? starts + 1 : starts);
}

static void at_each_step(enum vm_event event)
{
	for (size_t blow = 0; blow < ARRAY_SIZE(blows); blow++) {
		unsigned n = 1;

		for (bool running = true; running; n++) {
			struct op *op;

			if (event == VM_EV_RESUME && state() == VM_RUNNING)
				CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE);
			op = begin(event, n, &running);
			if (running)
				blows[blow](op);
			check_whole(blow == 0 || (blow == 3 && event == VM_EV_RESUME));
		}
		CHECK(n > 3);
	}
}

TEST(an_end_at_each_step_of_a_suspend)
{
	open_running();
	at_each_step(VM_EV_SUSPEND);
}

TEST(an_end_at_each_step_of_a_resume)
{
	open_running();
	at_each_step(VM_EV_RESUME);
}

/* ---- the next daemon ---- */

TEST(paused_and_suspended_over_daemons)
{
	int64_t pid;

	open_running();
	pid = vm()->row->pid;
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	next_daemon();
	CHECK_INT(state(), VM_PAUSED);
	CHECK_INT(vm()->row->pid, pid);
	CHECK_INT(world_ask(&w, "a", VM_EV_SUSPEND), OP_DONE); /* an adopted one */
	next_daemon();
	check_suspended();
	CHECK_INT(world_ask(&w, "a", VM_EV_RESUME), OP_DONE);
	check_running();
	CHECK_INT(starts_of_memory(), 2);
}

/* Its process ended with nobody there to see it. */
TEST(paused_and_gone)
{
	open_running();
	CHECK_INT(world_ask(&w, "a", VM_EV_PAUSE), OP_DONE);
	CHECK_INT(kill((pid_t)vm()->row->pid, SIGKILL), 0);
	next_daemon();
	CHECK_INT(state(), VM_STOPPED);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	check_running();
}
