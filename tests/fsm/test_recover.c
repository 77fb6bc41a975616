/* SPDX-License-Identifier: ISC */
/* A daemon that ended at each state of a VM, and the next one: what runs is adopted, what was begun is ended. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

TEST(adopted_by_the_next_daemon)
{
	int64_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = vm("a")->row->pid;
	world_reopen(&w);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(vm("a")->row->pid, pid);
	CHECK_INT(vm("a")->row->slot, 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

static bool is_ready(struct world *world, void *userdata)
{
	return vm("a")->ready;
}

TEST(adopted_vm_gets_ready_again)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	world_reopen(&w);
	world_run(&w, is_ready, NULL);
}

TEST(process_found_although_the_record_was_not_written)
{
	int64_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = vm("a")->row->pid;
	vm("a")->row->pid = 0;
	vm("a")->row->state = VM_STARTING;
	store_vm_put(w.engine.store, vm("a")->row);
	world_reopen(&w);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(vm("a")->row->pid, pid);
}

/* What the next daemon makes of each state when the process is gone. */
static void restart_daemon_in(enum vm_state state)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	vm("a")->row->state = (int)state;
	vm("a")->row->slot = 3;
	vm("a")->row->pid = 1;
	vm("a")->row->pid_start = 1;
	store_vm_put(w.engine.store, vm("a")->row);
	world_reopen(&w);
}

static bool is_gone(struct world *world, void *userdata)
{
	return !vm("a") && ops_running(world->engine.ops) == 0;
}

TEST(daemon_ended_while_creating)
{
	restart_daemon_in(VM_CREATING);
	world_run(&w, is_gone, NULL);
	world_check_empty(&w);
}

TEST(daemon_ended_while_deleting)
{
	restart_daemon_in(VM_DELETING);
	world_run(&w, is_gone, NULL);
	world_check_empty(&w);
}

TEST(daemon_ended_while_starting)
{
	restart_daemon_in(VM_STARTING);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(vm("a")->row->slot, -1);
	CHECK(vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
}

TEST(host_rebooted)
{
	restart_daemon_in(VM_RUNNING);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(vm("a")->row->slot, -1);
	CHECK_INT(vm("a")->row->pid, 0);
	CHECK(!vm("a")->error);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
}

TEST(slots_are_used_again)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(world_create(&w, "b", true), OP_DONE);
	CHECK_STR(vm("b")->row->address, "10.209.0.3");
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_create(&w, "c", true), OP_DONE);
	CHECK_STR(vm("c")->row->address, "10.209.0.2");
}

/* With no descriptor left nobody can say what runs: the start fails, and no VM is taken for a stopped one. */
TEST(a_start_that_cannot_see_what_runs_changes_nothing)
{
	struct rlimit few, all;
	_err_ struct bg_err *err = NULL;
	int next, r;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &all), 0);
	next = open("/proc", O_RDONLY | O_CLOEXEC);
	close(next);
	few = (struct rlimit){(rlim_t)next + 1, all.rlim_max};
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = vms_recover(&w.engine, &err);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &all), 0);
	CHECK_INT(r, -EMFILE);
	CHECK(err && strstr(err->message, "look for VMs that run"));
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK(vm("a")->vmm && vm("a")->row->slot >= 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_close(&w);
}
