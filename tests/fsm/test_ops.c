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
#include "daemon/driver/relay.h"
#include "daemon/vm/boot_gate.h"
#include "daemon/vm/console.h"
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

/* ---- ends that nobody wished ---- */

static bool is_stopped(struct world *world, void *userdata)
{
	return vm("a")->row->state == VM_STOPPED && !vm("a")->op;
}

/* An adopted process gives no status: what is not told by the console was no wish of the guest. */
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
