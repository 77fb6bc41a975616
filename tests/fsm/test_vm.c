/* SPDX-License-Identifier: ISC */
/*
 * The whole life of a VM over fakes: every state with every event, a failure at every step, a
 * cancel at every stage; after each, nothing may be left that the table does not say. Its network
 * is test_network.c's, a daemon that ends at each state test_recover.c's.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/farewell.h"
#include "daemon/vm/console.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

extern void storage_fake_fail(unsigned nth);

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

/* The requests that each state takes; all others are refused. Written out, so that the table cannot
 * drift by itself. */
TEST(every_state_with_every_request)
{
	static const char *const allowed[VM_STATE_MAX_] = {
		[VM_CREATING] = "",
		[VM_STOPPED] = "start stop restart delete change ",
		[VM_STARTING] = "",
		[VM_RUNNING] = "start stop restart kill delete change pause resume suspend ",
		[VM_STOPPING] = "",
		[VM_DELETING] = "delete ",
		[VM_PAUSED] = "start stop restart kill delete change pause resume suspend ",
		[VM_SUSPENDING] = "",
		[VM_SUSPENDED] = "start kill delete change resume suspend ",
		[VM_RESUMING] = "",
	};

	for (int s = 0; s < VM_STATE_MAX_; s++) {
		char got[128] = "";

		for (int e = VM_EV_START; e <= VM_EV_ASKED_MAX_; e++) {
			const struct vm_transition *t =
				vm_transition_find((enum vm_state)s, (enum vm_event)e);

			if (!t)
				continue;
			CHECK(t->plan);
			strcat(strcat(got, vm_event_str((enum vm_event)e)), " ");
		}
		CHECK_STR(got, allowed[s]);
	}
}

TEST(every_live_state_can_go_down)
{
	static const enum vm_state live[] = {VM_STARTING, VM_RUNNING, VM_STOPPING, VM_DELETING,
		VM_PAUSED, VM_SUSPENDING, VM_RESUMING};

	for (size_t i = 0; i < ARRAY_SIZE(live); i++)
		CHECK(vm_transition_find(live[i], VM_EV_DOWN));
	CHECK(!vm_transition_find(VM_STOPPED, VM_EV_DOWN));
}

TEST(whole_life)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK(vm("a")->ready);
	CHECK(vm("a")->row->pid > 0);
	CHECK_STR(vm("a")->row->address, "10.209.0.2");
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE); /* it runs already */
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(vm("a")->row->slot, -1);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	world_expect_children(&w, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE); /* it is stopped already */
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(world_ask(&w, "a", VM_EV_KILL), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK(!vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(created_and_not_started)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	world_expect_children(&w, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(bad_requests_leave_nothing)
{
	struct vm_request request = {.name = "Bad_Name", .vcpus = UINT32_MAX};
	_err_ struct bg_err *err = NULL, *err2 = NULL, *err3 = NULL, *err4 = NULL;
	struct op *op;

	world_open(&w, NULL);
	CHECK(vm_create(&w.engine, &request, &op, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "name.invalid");
	request.name = "a";
	request.image = "nope";
	CHECK(vm_create(&w.engine, &request, &op, &err2) < 0);
	CHECK_STR(bg_err_code_str(err2->code), "image.not_found");
	request.image = NULL;
	request.vcpus = 0;
	CHECK(vm_create(&w.engine, &request, &op, &err3) < 0);
	CHECK_STR(bg_err_code_str(err3->code), "vm.limits");
	request.vcpus = 1;
	request.kernel = "nope";
	CHECK(vm_create(&w.engine, &request, &op, &err4) < 0);
	CHECK_STR(bg_err_code_str(err4->code), "kernel.not_found");
	world_check_empty(&w);
}

TEST(taken_name)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(world_create(&w, "a", false), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.name_taken");
	CHECK_INT(vms_count(w.engine.vms, VM_STOPPED), 1);
}

TEST(root_disk_clone_fails)
{
	world_open(&w, NULL);
	storage_fake_fail(1);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "disk.full");
	world_check_empty(&w);
}

TEST(work_disk_clone_fails)
{
	world_open(&w, NULL);
	storage_fake_fail(2);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "disk.full");
	world_check_empty(&w);
}

TEST(network_fails_and_the_vm_is_kept)
{
	world_open(&w, NULL);
	net_fake_fail(w.engine.net, 1);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "helper.failed");
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "helper.failed");
	CHECK_INT(vm("a")->row->slot, -1);
	world_expect_children(&w, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK(!vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(initrd_fails_and_the_vm_is_kept)
{
	world_open(&w, NULL);
	CHECK_INT(unlink(w.init_path), 0);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "host.tool_missing");
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(vmm_dies_at_once)
{
	world_open(&w, "die=0");
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "vmm.died");
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK(strstr(vm("a")->error->hint, "banger vm logs"));
	CHECK_INT(vm("a")->row->slot, -1);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(guest_never_ready)
{
	world_open(&w, "never-ready");
	w.config->boot_timeout_s = 1;
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	CHECK_INT(vm("a")->row->state, VM_RUNNING); /* kept, for a look */
	CHECK(!vm("a")->ready);
	CHECK(strstr(vm("a")->error->hint, "banger vm logs a"));
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(agent_never_answers)
{
	world_open(&w, "no-socket");
	w.config->boot_timeout_s = 1;
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE); /* without an agent: killed */
	world_expect_children(&w, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(image_without_sshd_is_ready)
{
	world_open(&w, "no-sshd");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(vm("a")->ready);
	CHECK(!vm("a")->row->has_sshd);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* Whether clients saw this stage of the operation that was begun last. */
static bool had_stage(const char *name)
{
	_json_ json_t *all = ops_to_json(w.engine.ops);
	const json_t *last = json_array_get(json_object_get(all, "operations"), 0), *stage;
	size_t i;

	json_array_foreach (json_object_get(last, "stages"), i, stage)
		if (bg_streq(json_string_value(json_object_get(stage, "name")), name))
			return true;
	return false;
}

static void check_setup(const char *name, bool sshd, const char *setup)
{
	_json_ json_t *record = vm_to_json(vm(name));
	const json_t *ssh = json_object_get(record, "ssh");

	CHECK_INT(json_is_true(json_object_get(ssh, "sshd")), sshd);
	CHECK_STR(json_string_value(json_object_get(ssh, "setup")), setup);
}

TEST(packages_are_brought_in)
{
	world_open(&w, "a:setup=300 b:setup=300 b:no-sshd c:no-sshd c:no-manager");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(had_stage("packages"));
	check_setup("a", true, NULL);
	CHECK_INT(world_create(&w, "b", true), OP_DONE); /* in vain */
	CHECK(had_stage("packages"));
	check_setup("b", false, "failed");
	CHECK_INT(world_create(&w, "c", true), OP_DONE);
	CHECK(had_stage("ssh") && !had_stage("packages"));
	check_setup("c", false, "no_manager");
	CHECK_INT(world_ask(&w, "c", VM_EV_STOP), OP_DONE);
	check_setup("c", false, NULL);
}

TEST(an_init_can_be_asked_for_later)
{
	struct vm_change change = {.has_with_init = true, .with_init = true};
	struct op *op;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(!vm("a")->row->with_init);
	CHECK_INT(
		vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK(vm("a")->row->with_init && vm("a")->row->state == VM_RUNNING);
	change = (struct vm_change){.has_nat = true, .nat = true};
	CHECK_INT(
		vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK(vm("a")->row->with_init);
}

TEST(guest_ignores_the_shutdown)
{
	world_open(&w, "ignore-shutdown");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	world_expect_children(&w, 0);
}

static bool is_paused(struct world *world, void *userdata)
{
	return vm("a")->paused == *(const bool *)userdata;
}

static bool ticks_passed(struct world *world, void *userdata)
{
	return --*(unsigned *)userdata == 0;
}

/* The reserve is made to fit the room that there is. */
TEST(little_room_pauses_those_who_write)
{
	struct space *space = NULL;
	unsigned looks = 500; /* of 2 ms each: three of the watch's at least */
	struct statvfs fs;
	uint64_t room;

	world_open(&w, NULL);
	CHECK_INT(statvfs(w.paths.state_dir, &fs), 0);
	room = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	w.config->disk_reserve_mib = room * 4 / 3;
	space_soon(space);
	world_run(&w, ticks_passed, &looks);
	CHECK(!vm("a")->paused);
	vm("a")->writes = UINT64_MAX / 2;
	world_run(&w, is_paused, &(bool){true});
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "disk.full");
	w.config->disk_reserve_mib = 1;
	world_run(&w, is_paused, &(bool){false});
	CHECK(!vm("a")->error);
	w.config->disk_reserve_mib = room * 4; /* not even half of it: whoever it is */
	space_soon(space);
	world_run(&w, is_paused, &(bool){true});
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	space_free(space);
}

TEST(busy_while_an_operation_runs)
{
	struct vm_request request = {.name = "a", .vcpus = 1, .start = true};
	_err_ struct bg_err *err = NULL;
	struct op *op, *second;

	world_open(&w, NULL);
	CHECK_INT(vm_create(&w.engine, &request, &op, NULL), 0);
	CHECK(vm_ask(vm("a"), VM_EV_DELETE, &(struct vm_options){0}, &second, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "vm.busy");
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* Ctrl-C in the middle of a create takes everything back, whatever it had come to. */
static void cancel_create_at(const char *stage)
{
	struct vm_request request = {.name = "a", .vcpus = 1, .start = true};
	struct op *op;

	world_open(&w, bg_streq(stage, "ssh") ? "never-ready" : "no-socket");
	w.cancel_at = stage;
	CHECK_INT(vm_create(&w.engine, &request, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_CANCELLED);
	CHECK_STR(world_last_code(), "cancelled");
	world_check_empty(&w);
}

static void away(const char *path, bool back)
{
	_free_ char *other = NULL;

	CHECK(asprintf(&other, "%s-away", path) > 0);
	CHECK_INT(back ? rename(other, path) : rename(path, other), 0);
}

static void check_missing(const char *path)
{
	_json_ json_t *json = vm_to_json(vm("a"));
	_err_ struct bg_err *err = NULL;

	CHECK_STR(vm_missing(vm("a")), path);
	CHECK_STR(json_string_value(json_object_get(json, "missing")), path);
	CHECK(vm_check_disks(vm("a"), &err) == -ENOENT && err->code == BG_ERR_VM_DISKS);
	CHECK(strstr(err->message, path) && strstr(err->hint, "vm delete a"));
}

/* Removed by other hands: it is said, neither started nor restarted, and nothing is removed for it.
 */
TEST(disks_that_are_gone)
{
	struct vm_options options = {0};
	_free_ char *dir = NULL;
	struct op *op;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(!vm_missing(vm("a")));
	dir = strdup(vm("a")->paths.dir);
	away(vm("a")->paths.disk_work, false);
	check_missing(vm("a")->paths.disk_work);
	{
		_err_ struct bg_err *err = NULL;

		CHECK(vm_ask(vm("a"), VM_EV_RESTART, &options, &op, &err) < 0 &&
			err->code == BG_ERR_VM_DISKS);
	}
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	away(vm("a")->paths.disk_work, true);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	away(dir, false);
	world_reopen(&w);
	check_missing(dir);
	{
		_err_ struct bg_err *err = NULL;

		CHECK(vm_ask(vm("a"), VM_EV_START, &options, &op, &err) < 0 &&
			err->code == BG_ERR_VM_DISKS);
	}
	away(dir, true);
	CHECK(!vm_missing(vm("a")));
	away(dir, false);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK(!vm("a"));
	world_close(&w);
}

TEST(create_cancelled_at_disks)
{
	cancel_create_at("disks");
}

TEST(create_cancelled_at_network)
{
	cancel_create_at("network");
}

TEST(create_cancelled_at_boot)
{
	cancel_create_at("boot");
}

TEST(create_cancelled_at_ssh)
{
	cancel_create_at("ssh");
}

TEST(start_cancelled_leaves_it_stopped)
{
	struct op *op;

	world_open(&w, "no-socket");
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	w.cancel_at = "boot";
	CHECK_INT(vm_ask(vm("a"), VM_EV_START, &(struct vm_options){0}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_CANCELLED);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	world_expect_children(&w, 0);
}

static bool known_hosts_is_empty(struct world *world, void *userdata)
{
	_free_ char *text = NULL;

	return bg_read_file_at(AT_FDCWD, keys_known_hosts_path(world->engine.keys), 4096, &text,
		       NULL) >= 0 &&
	       !*text;
}

TEST(known_hosts_follows_the_vms)
{
	_free_ char *before = NULL;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(bg_read_file_at(
			  AT_FDCWD, keys_known_hosts_path(w.engine.keys), 4096, &before, NULL),
		0);
	CHECK(strncmp(before, "a,a.vm ssh-ed25519 ", 19) == 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_run(&w, known_hosts_is_empty, NULL);
}

/* A distribution's own initrd is too large to be copied in the loop: a worker does it. */
TEST(a_large_initrd_is_written_by_a_worker)
{
	_free_ char *first = NULL;
	struct stat st;
	char zero = 1;
	int fd;

	world_open(&w, "never-ready");
	w.config->boot_timeout_s = 1; /* so that what was booted with stays */
	CHECK(asprintf(&first, "%s/first", test_tmpdir()) > 0);
	fd = open(first, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(pwrite(fd, "FIRST", 5, 0), 5);
	CHECK_INT(ftruncate(fd, 9 * MIB), 0);
	close(fd);
	kernels_find(w.engine.kernels, "k")->initrd = strdup(first);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	fd = open(vm("a")->paths.initrd, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (off_t)(9 * MIB));
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK(pread(fd, &zero, 1, 0) == 1 && zero == 'F');
	CHECK(pread(fd, &zero, 1, 9 * MIB) == 1 && zero == '0'); /* an archive of ours begins */
	close(fd);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* Nobody is refused a deletion, or told of a failed creation, for the sake of ssh's list. */
TEST(nothing_fails_for_known_hosts_alone)
{
	_free_ char *in_the_way = NULL;

	world_open(&w, NULL);
	CHECK(asprintf(&in_the_way, "%s.new", keys_known_hosts_path(w.engine.keys)) > 0);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(mkdir(in_the_way, 0700), 0);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_ask(&w, "b", VM_EV_DELETE), OP_DONE);
	CHECK_INT(rmdir(in_the_way), 0);
	world_run(&w, known_hosts_is_empty, NULL);
	world_check_empty(&w);
}

static bool is_stopping(struct world *world, void *userdata)
{
	(void)userdata;
	return world->engine.stopping;
}

/* One is up, one is on its way up, one is down: each ends stopped, and those that were up say why. */
TEST(end_of_the_session_shuts_down_what_is_up)
{
	const struct vm_options options = {0};
	struct op *op;
	struct vm *vm;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "up", true), OP_DONE);
	CHECK_INT(world_create(&w, "coming", false), OP_DONE);
	CHECK_INT(world_create(&w, "down", false), OP_DONE);
	CHECK_INT(vm_ask(vms_find(w.engine.vms, "coming"), VM_EV_START, &options, &op, NULL), 0);
	farewell_begin(&w.engine);
	farewell_begin(&w.engine);
	world_run(&w, is_stopping, NULL);
	loop_source_free(w.engine.drain);
	for (vm = vms_first(w.engine.vms); vm; vm = vm->next) {
		CHECK_INT(vm->row->state, VM_STOPPED);
		CHECK(!vm->vmm && !vm->op);
	}
	CHECK(strstr(vms_find(w.engine.vms, "up")->error->message, "login session ended"));
	CHECK(strstr(vms_find(w.engine.vms, "up")->error->hint, "enable-linger"));
	CHECK(!vms_find(w.engine.vms, "down")->error);
	world_expect_children(&w, 0);
	world_close(&w);
}
