/* SPDX-License-Identifier: ISC */
/* VMs that start by themselves (daemon/vm/revive.h), over fakes: which do, which do not, and when. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/driver/vmm.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static bool is_up(struct world *world, void *name)
{
	const struct vm *v = vms_find(world->engine.vms, name);

	return v->row->state == VM_RUNNING && v->ready && !v->op;
}

/* Down, and nothing is under way on it. */
static bool is_down(struct world *world, void *name)
{
	const struct vm *v = vms_find(world->engine.vms, name);

	return v->row->state == VM_STOPPED && !v->vmm && !v->op;
}

static bool is_due(struct world *world, void *name)
{
	return revive_at(vms_find(world->engine.vms, name)) > 0;
}

static void set(const char *name, int restart, bool autostart)
{
	const struct vm_change change = {.has_restart = true,
		.restart = restart,
		.has_autostart = true,
		.autostart = autostart};
	struct op *op;

	CHECK_INT(
		vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
}

static void make(const char *name, int restart, bool autostart, bool started)
{
	CHECK_INT(world_create(&w, name, started), OP_DONE);
	set(name, restart, autostart);
}

static void end_by(const char *name, int signo)
{
	CHECK_INT(kill(vmm_pid(vm(name)->vmm), signo), 0);
}

/* The guest powers off: its console has said so (console.h), and its VMM goes. */
static void power_off(const char *name)
{
	vm(name)->halted = true;
	end_by(name, SIGKILL);
}

static void end(void)
{
	struct vm *v;

	while ((v = vms_first(w.engine.vms)))
		CHECK_INT(world_ask(&w, v->row->name, VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(without_a_policy_it_stays_down)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	end_by("a", SIGKILL);
	world_run(&w, is_down, (void *)"a");
	CHECK_INT(revive_at(vm("a")), 0);
	end();
}

TEST(on_failure_is_a_crash_and_not_a_power_off)
{
	world_open(&w, NULL);
	make("a", RESTART_ON_FAILURE, false, true);
	end_by("a", SIGKILL);
	world_run(&w, is_due, (void *)"a");
	CHECK(vm("a")->error); /* what happened is shown meanwhile */
	world_run(&w, is_up, (void *)"a");
	CHECK(!vm("a")->error);
	power_off("a");
	world_run(&w, is_down, (void *)"a");
	CHECK_INT(revive_at(vm("a")), 0);
	end();
}

TEST(always_is_a_power_off_too)
{
	world_open(&w, NULL);
	make("a", RESTART_ALWAYS, false, true);
	power_off("a");
	world_run(&w, is_due, (void *)"a");
	world_run(&w, is_up, (void *)"a");
	end();
}

/* Also one that waits for its next start: the stop finds nothing to do, and counts. */
TEST(what_a_user_stops_stays_stopped)
{
	world_open(&w, NULL);
	make("a", RESTART_ALWAYS, true, true);
	make("b", RESTART_ALWAYS, true, true);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	end_by("b", SIGKILL);
	world_run(&w, is_due, (void *)"b");
	CHECK_INT(world_ask(&w, "b", VM_EV_STOP), OP_DONE);
	CHECK_INT(revive_at(vm("b")), 0);
	world_reopen(&w);
	revive_all(&w.engine);
	CHECK(is_down(&w, (void *)"a") && is_down(&w, (void *)"b"));
	end();
}

TEST(a_kill_is_a_stop)
{
	world_open(&w, NULL);
	make("a", RESTART_ALWAYS, false, true);
	CHECK_INT(world_ask(&w, "a", VM_EV_KILL), OP_DONE);
	CHECK(is_down(&w, (void *)"a"));
	CHECK_INT(revive_at(vm("a")), 0);
	end();
}

TEST(a_policy_that_is_taken_away_counts_at_once)
{
	world_open(&w, NULL);
	make("a", RESTART_ALWAYS, false, true);
	end_by("a", SIGKILL);
	world_run(&w, is_due, (void *)"a");
	world_run(&w, is_down, (void *)"a");
	set("a", RESTART_NO, false);
	CHECK_INT(revive_at(vm("a")), 0);
	end();
}

static bool is_due_again(struct world *world, void *userdata)
{
	const int64_t *first = userdata;
	int64_t at = revive_at(vms_find(world->engine.vms, "a"));

	return at > 0 && at != *first;
}

/* Each try later than the one before: 1 s, 2 s. */
TEST(one_that_does_not_come_up_is_tried_less_and_less)
{
	int64_t first;

	world_open(&w, NULL);
	make("a", RESTART_ON_FAILURE, false, true);
	world_set_behaviour("die=1");
	end_by("a", SIGKILL);
	world_run(&w, is_due, (void *)"a");
	first = revive_at(vm("a"));
	world_run(&w, is_due_again, &first);
	CHECK(revive_at(vm("a")) >= first + 2);
	world_set_behaviour("");
	world_run(&w, is_up, (void *)"a");
	end();
}

/* The next daemon: by autostart, by a policy, by neither. */
TEST(the_start_of_the_daemon_brings_them_up)
{
	pid_t pid;

	world_open(&w, NULL);
	make("auto", RESTART_NO, true, false);
	make("always", RESTART_ALWAYS, false, false);
	make("failed", RESTART_ON_FAILURE, false, true);
	make("plain", RESTART_NO, false, false);
	make("rest", RESTART_ON_FAILURE, false, false);
	make("stopped", RESTART_NO, true, true);
	CHECK_INT(world_ask(&w, "stopped", VM_EV_STOP), OP_DONE);
	make("last-boot", RESTART_NO, true, true);
	CHECK_INT(world_ask(&w, "last-boot", VM_EV_STOP), OP_DONE);
	free(vm("last-boot")->row->stopped_boot);
	vm("last-boot")->row->stopped_boot = strdup("another boot of the host");
	vm_save(vm("last-boot"));
	vm("failed")->on_exit = NULL;
	CHECK_INT(world_ask(&w, "plain", VM_EV_STOP),
		OP_DONE); /* what was posted before is in the store */
	pid = vmm_pid(vm("failed")->vmm);
	end_by("failed", SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid); /* a daemon's end would leave it to init */
	world_reopen(&w);
	revive_all(&w.engine);
	world_run(&w, is_up, (void *)"auto");
	world_run(&w, is_up, (void *)"always");
	world_run(&w, is_up, (void *)"failed");
	world_run(&w, is_up, (void *)"last-boot");
	CHECK(is_down(&w, (void *)"plain") && is_down(&w, (void *)"rest") &&
		is_down(&w, (void *)"stopped"));
	end();
}
