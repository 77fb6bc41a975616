/* SPDX-License-Identifier: ISC */
/*
 * Operations that others steer, and what watches a VM meanwhile: one that boots can be stopped, killed, deleted and waited
 * for by anybody; a full disk pauses whatever has a VMM; a port that cannot be had leaves the others as they are.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/json.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/relay.h"
#include "daemon/vm/boot_gate.h"
#include "daemon/vm/console.h"
#include "daemon/vm/health.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static struct op *ask_create(const char *name)
{
	struct vm_request request = {.name = name, .vcpus = 1, .start = true};
	struct op *op;

	CHECK_INT(vm_create(&w.engine, &request, &op, NULL), 0);
	return op;
}

static bool at_stage(const struct op *op, const char *stage)
{
	_json_ json_t *record = op_to_json(op);
	const json_t *stages = json_object_get(record, "stages");
	const json_t *last = json_array_get(stages, json_array_size(stages) - 1);

	return bg_streq(json_string_value(json_object_get(last, "name")), stage);
}

static bool at_turn(struct world *world, void *userdata)
{
	return at_stage(userdata, "turn");
}

static bool at_boot(struct world *world, void *userdata)
{
	return at_stage(userdata, "boot");
}

static bool at_ssh(struct world *world, void *userdata)
{
	return at_stage(userdata, "ssh");
}

static void no_turn(void *userdata)
{
}

/* Let in between its cancel and the undo that follows from the loop, it must not be told. */
TEST(a_cancelled_turn_is_not_told_that_it_came)
{
	struct boot_turn *other = NULL;
	bool waits;
	struct op *op;

	world_open(&w, NULL);
	w.config->boots_at_once = 1;
	CHECK_INT(boot_turn_take(w.engine.boots, 1, no_turn, NULL, &waits, &other), 0);
	op = ask_create("a");
	world_run(&w, at_turn, op);
	CHECK_INT(op_cancel(op), 0);
	boot_turn_free(other);
	CHECK_INT(world_wait(&w, op), OP_CANCELLED);
	world_check_empty(&w);
}

/* ---- ports ---- */

static int listen_somewhere(uint16_t *ret_port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(listen(fd, 1), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static struct op *ask_publish(const char *name, json_t *pairs)
{
	struct vm_change change = {.publish = pairs};
	struct op *op;

	CHECK_INT(
		vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	json_decref(pairs);
	return op;
}

static json_t *port_pair(uint16_t host, int guest)
{
	return json_pack("[{s:i, s:i}]", "host", (int)host, "guest", guest);
}

static struct op *ask_two_ports(uint16_t a, int guest, uint16_t b)
{
	return ask_publish("v", json_pack("[{s:i, s:i}, {s:i, s:i}]", "host", (int)a, "guest",
					guest, "host", (int)b, "guest", 90));
}

/* Taken between the request and its step: nothing that was open may close. */
TEST(a_port_that_is_lost_meanwhile_changes_none)
{
	_close_ int first = -1, second = -1;
	uint16_t a, b;
	struct relay *thief = NULL;
	struct sockaddr_in target = {.sin_family = AF_INET};
	struct op *op;

	first = listen_somewhere(&a);
	second = listen_somewhere(&b);
	first = bg_close(first);
	second = bg_close(second);
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", true), OP_DONE);
	CHECK_INT(world_wait(&w, ask_publish("v", port_pair(a, 80))), OP_DONE);
	op = ask_two_ports(a, 81, b);
	CHECK_INT(relay_open(w.engine.loop, b, &target, &thief, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_FAILED);
	CHECK_STR(world_last_code(), "port.taken");
	CHECK_INT(relay_try(a, NULL), -EADDRINUSE);
	CHECK(strstr(vm("v")->row->publish, "80"));
	relay_free(thief);
	CHECK_INT(world_wait(&w, ask_two_ports(a, 81, b)), OP_DONE);
	CHECK_INT(relay_try(a, NULL), -EADDRINUSE);
	CHECK_INT(relay_try(b, NULL), -EADDRINUSE);
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	CHECK_INT(relay_try(a, NULL), 0);
	world_check_empty(&w);
}

/* ---- room ---- */

static bool is_paused(struct world *world, void *userdata)
{
	return vm("a")->paused == *(const bool *)userdata;
}

static bool is_there_and_paused(struct world *world, void *userdata)
{
	return vm("a") && vm("a")->paused;
}

static bool turns_passed(struct world *world, void *userdata)
{
	return --*(unsigned *)userdata == 0;
}

static void want_room(uint64_t mib)
{
	w.config->disk_reserve_mib = mib;
}

enum { MORE_THAN_THERE_IS = 1 << 30 }; /* MiB */

/* What an earlier daemon paused goes on under the next one, whatever its storage. */
TEST(a_pause_outlives_the_daemon_and_ends)
{
	struct space *space = NULL;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	want_room(MORE_THAN_THERE_IS);
	world_run(&w, is_paused, &(bool){true});
	space_free(space);
	world_reopen(&w);
	CHECK(vm("a")->paused);
	want_room(0);
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	world_run(&w, is_paused, &(bool){false});
	CHECK(!vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	space_free(space);
}

/* A first boot may install packages for half an hour. Its deadline does not run while it is paused. */
TEST(a_vm_that_boots_is_paused_too)
{
	struct space *space = NULL;
	struct op *op;

	world_open(&w, "never-ready");
	w.config->boot_timeout_s = 1;
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	op = ask_create("a");
	world_run(&w, at_ssh, op);
	CHECK_INT(vm("a")->row->state, VM_STARTING);
	want_room(MORE_THAN_THERE_IS);
	space_soon(space);
	world_run(&w, is_paused, &(bool){true});
	CHECK_INT(vm("a")->row->state, VM_STARTING);
	want_room(0);
	world_run(&w, is_paused, &(bool){false});
	CHECK_INT(world_wait(&w, op), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	space_free(space);
}

/* Without VMs nobody looks; the first one that begins changes that. */
TEST(a_vm_that_begins_is_watched)
{
	struct space *space = NULL;
	unsigned wakes = 300; /* of 2 ms each: the watch has had its first look, and rests */

	world_open(&w, NULL);
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	w.engine.space = space;
	world_run(&w, turns_passed, &wakes);
	want_room(MORE_THAN_THERE_IS);
	(void)ask_create("a");
	world_run(&w, is_there_and_paused, NULL);
	want_room(0);
	world_run(&w, is_paused, &(bool){false});
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	w.engine.space = NULL;
	space_free(space);
}

static bool is_paused_though_asked(struct world *world, void *userdata)
{
	space_soon(userdata);
	return vm("a")->paused;
}

/* VMs that begin one after the other do not put the look off. */
TEST(a_look_that_is_due_is_not_put_off)
{
	struct space *space = NULL;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(space_new(&w.engine, &space, NULL), 0);
	want_room(MORE_THAN_THERE_IS);
	world_run(&w, is_paused_though_asked, space);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	space_free(space);
}

/* ---- ends that nobody wished ---- */

static bool is_stopped(struct world *world, void *userdata)
{
	return vm("a")->row->state == VM_STOPPED && !vm("a")->op;
}

/* An adopted process gives no status: what is not told by the console was not a wish of the guest. */
TEST(an_adopted_vmm_that_was_killed)
{
	pid_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = (pid_t)vm("a")->row->pid;
	vm_on_vmm_exit(vm("a")->vmm, -1, vm("a"));
	CHECK_INT(kill(pid, SIGKILL), 0);
	world_run(&w, is_stopped, NULL);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "vmm.died");
	world_reopen(&w);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "vmm.died");
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK(!vm("a")->error);
}

static void end_between_daemons(int signo)
{
	int status;
	pid_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = (pid_t)vm("a")->row->pid;
	CHECK_INT(kill(pid, signo), 0);
	if (signo == SIGUSR2) { /* it halts, and stays */
		while (console_end_of_vm(vm("a")) != CONSOLE_HALTED)
			CHECK_INT(sched_yield(), 0);
		CHECK_INT(kill(pid, SIGKILL), 0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	world_reopen(&w);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
}

TEST(a_vmm_that_was_killed_between_two_daemons)
{
	end_between_daemons(SIGKILL);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "vmm.died");
}

TEST(a_guest_that_went_down_between_two_daemons)
{
	end_between_daemons(SIGUSR2);
	CHECK(!vm("a")->error);
}

/* ---- health ---- */

static struct health *open_with_health(const char *behaviour)
{
	world_open(&w, behaviour);
	CHECK_INT(health_new(&w.engine, &w.engine.health, NULL), 0);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_STR(vm_health(vm("a")), "ok");
	return w.engine.health;
}

static bool has_health(struct world *world, void *userdata)
{
	return bg_streq(vm_health(vm("a")), userdata);
}

static void on_look(void *userdata)
{
	*(bool *)userdata = true;
}

static bool is_true(struct world *world, void *userdata)
{
	return *(const bool *)userdata;
}

static bool is_stale(struct world *world, void *userdata)
{
	return loop_now_usec() - guest_heard_usec(vm("a")->guest) > 3000000;
}

/* Seconds of CLOCK_MONOTONIC that it takes. */
static uint64_t until_health(const char *health)
{
	uint64_t begun = loop_now_usec();

	world_run(&w, has_health, (void *)(uintptr_t)health);
	return (loop_now_usec() - begun) / 1000000;
}

/* Somebody has looked a moment ago: a frozen VMM is seen within 10 s, and so is its thaw. */
TEST(a_frozen_vmm_is_seen)
{
	struct health *health = open_with_health(NULL);
	bool told = false;
	pid_t pid = (pid_t)vm("a")->row->pid;

	(void)health_look(health, NULL, on_look, &told);
	CHECK_INT(kill(pid, SIGSTOP), 0);
	CHECK(until_health("vmm_silent") <= 10);
	CHECK(vm("a")->ready); /* what it was when it was last heard of */
	CHECK_INT(kill(pid, SIGCONT), 0);
	CHECK(until_health("ok") <= 10);
	CHECK_INT(kill(pid, SIGSTOP), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	health_free(health);
}

/* Nobody looked for long: who does is told what is so, and not what was. */
TEST(a_reader_of_records_is_not_told_what_was)
{
	struct health *health = open_with_health(NULL);
	bool told = false;

	CHECK(!health_look(health, "a", on_look, &told)); /* it was heard of just now */
	world_run(&w, is_stale, NULL);
	CHECK(health_look(health, "a", on_look, &told) && !told);
	world_run(&w, is_true, &told);
	CHECK_STR(vm_health(vm("a")), "ok");
	world_run(&w, is_stale, NULL);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGSTOP), 0);
	(void)health_look(health, "a", on_look, &told);
	world_run(&w, has_health, (void *)(uintptr_t) "vmm_silent");
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGKILL), 0);
	world_run(&w, is_stopped, NULL);
	CHECK(!vm_health(vm("a")));
	health_free(health);
}

/* The VMM answers, its guest does not. */
TEST(a_dead_agent_is_seen)
{
	struct health *health = open_with_health("mute-ping");
	bool told = false;

	world_run(&w, is_stale, NULL);
	CHECK(health_look(health, NULL, on_look, &told));
	world_run(&w, is_true, &told);
	CHECK_STR(vm_health(vm("a")), "agent_silent");
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	health_free(health);
}

/* ---- one operation and another ---- */

/* Refused when err is not NULL. */
static struct op *ask(const char *name, enum vm_event event, bool force, struct bg_err **err)
{
	struct vm_options options = {.force = force, .stop_timeout_s = 20};
	struct op *op = NULL;

	if (vm_ask(vm(name), event, &options, &op, err) < 0)
		CHECK(err && *err);
	return op;
}

static struct op *boot_to_ssh(void)
{
	struct op *op;

	world_open(&w, "never-ready");
	op = ask_create("a");
	world_run(&w, at_ssh, op);
	return op;
}

/* Its making is kept, its boot is not. */
static void end_boot_by(enum vm_event event)
{
	struct op *create = boot_to_ssh(), *end = ask("a", event, false, NULL);

	CHECK_INT(world_wait(&w, end), OP_DONE);
	CHECK_INT(op_state(create), OP_CANCELLED);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK(!vm("a")->op && !vm("a")->error);
	world_expect_children(&w, 0);
	world_set_behaviour(NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(a_boot_ended_by_stop)
{
	end_boot_by(VM_EV_STOP);
}

TEST(a_boot_ended_by_kill)
{
	end_boot_by(VM_EV_KILL);
}

TEST(a_boot_ended_by_delete)
{
	struct op *create = boot_to_ssh(), *op;
	_err_ struct bg_err *err = NULL;

	CHECK(!ask("a", VM_EV_DELETE, false, &err));
	CHECK_STR(bg_err_code_str(err->code), "vm.busy");
	CHECK(strstr(err->hint, "--force a"));
	CHECK_STR(bg_streq(err->message, "VM \"a\" is still starting") ? "" : err->message, "");
	op = ask("a", VM_EV_DELETE, true, NULL);
	CHECK_INT(world_wait(&w, op), OP_DONE);
	CHECK_INT(op_state(create), OP_CANCELLED);
	world_check_empty(&w);
}

TEST(a_start_ended_by_delete)
{
	struct op *start;

	world_open(&w, "never-ready");
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	start = ask("a", VM_EV_START, false, NULL);
	world_run(&w, at_ssh, start);
	CHECK_INT(world_wait(&w, ask("a", VM_EV_DELETE, true, NULL)), OP_DONE);
	CHECK_INT(op_state(start), OP_CANCELLED);
	world_check_empty(&w);
}

/* Disks that are being made are made; only then it ends. */
TEST(a_create_that_has_not_booted_yet_is_stopped)
{
	struct op *create, *stop;

	world_open(&w, NULL);
	create = ask_create("a");
	stop = ask("a", VM_EV_STOP, false, NULL);
	CHECK_INT(world_wait(&w, stop), OP_DONE);
	CHECK_INT(op_state(create), OP_CANCELLED);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK(access(vm("a")->paths.disk_work, F_OK) == 0);
	world_expect_children(&w, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
}

TEST(a_start_joins_a_start)
{
	struct op *create, *start;

	world_open(&w, "ready=300");
	create = ask_create("a");
	start = ask("a", VM_EV_START, false, NULL);
	CHECK_INT(world_wait(&w, start), OP_DONE);
	CHECK_INT(op_state(create), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	world_expect_children(&w, 1);
	CHECK(!vm("a")->op);
}

TEST(a_start_joins_a_start_that_fails)
{
	struct op *create, *start;

	world_open(&w, "never-ready");
	w.config->boot_timeout_s = 1;
	create = ask_create("a");
	start = ask("a", VM_EV_START, false, NULL);
	CHECK_INT(world_wait(&w, start), OP_FAILED);
	CHECK_STR(world_last_code(), "vm.not_ready");
	CHECK_INT(op_state(create), OP_FAILED);
}

/* Whoever joined and leaves takes nothing with him. */
TEST(a_start_that_joined_is_cancelled_alone)
{
	struct op *create, *start;

	world_open(&w, "ready=300");
	create = ask_create("a");
	start = ask("a", VM_EV_START, false, NULL);
	world_run(&w, at_boot, create);
	CHECK_INT(op_cancel(start), 0);
	CHECK_INT(world_wait(&w, start), OP_CANCELLED);
	CHECK_INT(world_wait(&w, create), OP_DONE);
}

/* All that is asked at once is done in turn; nothing is refused, and nothing is left. */
TEST(a_queue_of_requests)
{
	struct op *ops[6];

	world_open(&w, "ready=100");
	ops[0] = ask_create("a");
	ops[1] = ask("a", VM_EV_RESTART, false, NULL);
	ops[2] = ask("a", VM_EV_START, false, NULL);
	CHECK_INT(world_wait(&w, ops[0]), OP_DONE);
	CHECK_INT(world_wait(&w, ops[1]), OP_DONE);
	CHECK_INT(world_wait(&w, ops[2]), OP_DONE);
	ops[3] = ask("a", VM_EV_STOP, false, NULL);
	ops[4] = ask("a", VM_EV_STOP, false, NULL);
	ops[5] = ask("a", VM_EV_DELETE, false, NULL);
	for (int i = 3; i < 6; i++)
		CHECK_INT(world_wait(&w, ops[i]), OP_DONE);
	world_check_empty(&w);
}

static bool at_shutdown(struct world *world, void *userdata)
{
	return at_stage(userdata, "shutdown");
}

/* A guest that takes its time to go down is killed at once. */
TEST(a_stop_that_waits_is_ended_by_kill)
{
	struct op *stop;

	world_open(&w, "ignore-shutdown");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	stop = ask("a", VM_EV_STOP, false, NULL);
	world_run(&w, at_shutdown, stop);
	CHECK_INT(world_wait(&w, ask("a", VM_EV_KILL, false, NULL)), OP_DONE);
	CHECK_INT(op_state(stop), OP_CANCELLED);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	world_expect_children(&w, 0);
}

TEST(a_cancelled_stop_says_what_is_true)
{
	struct op *stop;
	_json_ json_t *record = NULL;
	const char *message = "";

	world_open(&w, "ignore-shutdown");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	stop = ask("a", VM_EV_STOP, false, NULL);
	world_run(&w, at_shutdown, stop);
	CHECK_INT(op_cancel(stop), 0);
	CHECK_INT(world_wait(&w, stop), OP_CANCELLED);
	record = op_to_json(stop);
	(void)bg_json_get_str(json_object_get(record, "error"), "message", &message);
	CHECK(strstr(message, "may still do so"));
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
}

/* Each state with each request while an operation is under way: what is refused is refused at once. */
TEST(what_is_refused_while_it_is_busy)
{
	_err_ struct bg_err *set = NULL, *kill_usr1 = NULL;
	struct vm_options options = {.signo = SIGUSR1};
	struct op *op = NULL;

	(void)boot_to_ssh();
	CHECK(!ask("a", VM_EV_SET, false, &set));
	CHECK_STR(bg_err_code_str(set->code), "vm.busy");
	CHECK(strstr(set->hint, "banger op cancel"));
	CHECK(vm_ask(vm("a"), VM_EV_KILL, &options, &op, &kill_usr1) < 0);
	CHECK_STR(bg_err_code_str(kill_usr1->code), "vm.busy");
}

/* ---- what cannot work is refused before anything is made ---- */

static char *asset(const char *name)
{
	char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	return path;
}

static void check_refused(const char *code)
{
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), code);
	world_check_empty(&w);
}

TEST(a_kernel_file_that_is_gone)
{
	_free_ char *path = asset("vmlinuz");

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_INT(truncate(path, 0), 0);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "kernel.invalid");
	CHECK(!vm("a"));
	CHECK_INT(unlink(path), 0);
	CHECK_INT(world_ask(&w, "b", VM_EV_START), OP_FAILED);
	CHECK_STR(world_last_code(), "kernel.invalid");
	CHECK_INT(vm("b")->row->state, VM_STOPPED);
	CHECK_INT(world_ask(&w, "b", VM_EV_DELETE), OP_DONE);
	check_refused("kernel.invalid");
}

TEST(a_base_image_that_is_damaged)
{
	_free_ char *root = asset("rootfs"), *seed = asset("seed");

	world_open(&w, NULL);
	CHECK_INT(truncate(root, 4096), 0);
	check_refused("image.invalid");
	CHECK_INT(truncate(root, 0), 0);
	CHECK_INT(truncate(root, MIB), 0);
	check_refused("image.invalid");
	CHECK_INT(unlink(root), 0);
	check_refused("image.invalid");
	CHECK_INT(unlink(seed), 0);
	check_refused("image.invalid");
}

TEST(more_memory_than_there_is)
{
	struct vm_request request = {.name = "a", .vcpus = 1, .start = true, .memory_mib = 1 << 20};
	struct vm_change change = {.memory_mib = 1 << 20};
	_err_ struct bg_err *err = NULL, *err2 = NULL;
	struct op *op;

	world_open(&w, NULL);
	CHECK(vm_create(&w.engine, &request, &op, &err) < 0);
	CHECK_STR(bg_err_code_str(err->code), "vm.limits");
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK(vm_ask(vm("a"), VM_EV_SET, &(struct vm_options){.change = &change}, &op, &err2) < 0);
	CHECK_STR(bg_err_code_str(err2->code), "vm.limits");
}

/* A user who is not in the group copies no disks first, and nothing holds the name. */
TEST(no_network_helper_for_this_user)
{
	world_open(&w, NULL);
	net_free(w.engine.net);
	CHECK_INT(net_new(w.engine.loop, -1, "/nonexistent/helper", &w.engine.net, NULL), 0);
	CHECK_INT(world_create(&w, "a", true), OP_FAILED);
	CHECK(strncmp(world_last_code(), "helper.", 7) == 0);
	CHECK(!vm("a"));
	CHECK_INT(world_create(&w, "a", false), OP_DONE); /* made it can be, and booted later */
}
