/* SPDX-License-Identifier: ISC */
/* A VM's address, the pool of ready taps and NAT, over fakes: kept, given back and taken again. */
#include <stdio.h>

#include "common/json.h"
#include "daemon/vm/tap_pool.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

/* A VM's address is its own until it is deleted, also over a start of the engine. */
TEST(address_for_life)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(world_create(&w, "b", true), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK(!vm("a")->row->address);
	CHECK_INT(world_create(&w, "c", true), OP_DONE);
	CHECK_STR(vm("c")->row->address, "10.209.0.4");
	world_reopen(&w);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_STR(vm("a")->row->address, "10.209.0.2");
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_create(&w, "d", true), OP_DONE);
	CHECK_STR(vm("d")->row->address, "10.209.0.2");
	for (const char *name = "bcd"; *name; name++)
		CHECK_INT(world_ask(&w, (const char[]){*name, '\0'}, VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* When each slot was some VM's, one that never had one takes that of a stopped VM, which then gets another. */
TEST(address_that_cannot_be_kept)
{
	char name[16];

	world_open(&w, NULL);
	for (unsigned i = 0; i < net_slots(w.engine.net); i++) {
		snprintf(name, sizeof(name), "v%u", i);
		CHECK_INT(world_create(&w, name, false), OP_DONE);
		vm(name)->row->home_slot = (int)i;
	}
	CHECK_INT(world_create(&w, "new", true), OP_DONE);
	CHECK_INT(vm("new")->row->slot, 0);
	CHECK_INT(world_ask(&w, "v0", VM_EV_START), OP_DONE);
	CHECK_INT(vm("v0")->row->slot, 1);
	CHECK_INT(world_ask(&w, "new", VM_EV_DELETE), OP_DONE);
	CHECK_INT(world_ask(&w, "v0", VM_EV_DELETE), OP_DONE);
}

static bool pool_full(struct world *world, void *userdata)
{
	return tap_pool_ready(world->engine.pool) == tap_pool_size(world->engine.pool);
}

static bool pool_drained(struct world *world, void *userdata)
{
	return tap_pool_drained(world->engine.pool);
}

static void open_with_pool(unsigned size)
{
	world_open(&w, NULL);
	w.config->tap_pool = size;
	world_reopen(&w);
	world_run(&w, pool_full, NULL);
}

TEST(pool_is_taken_from_and_filled_again)
{
	open_with_pool(2);
	CHECK_INT(net_fake_attached(w.engine.net), 2);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(vm("a")->row->slot, 0);
	world_run(&w, pool_full, NULL);
	CHECK_INT(net_fake_attached(w.engine.net), 3);
	CHECK_INT(world_create(&w, "b", true), OP_DONE);
	CHECK_INT(vm("b")->row->slot, 1);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_run(&w, pool_full, NULL);
	CHECK_INT(net_fake_attached(w.engine.net), 3);
	CHECK_INT(world_ask(&w, "b", VM_EV_DELETE), OP_DONE);
	world_run(&w, pool_full, NULL);
	CHECK_INT(net_fake_attached(w.engine.net), 2);
	tap_pool_drain(w.engine.pool);
	world_run(&w, pool_drained, NULL);
	world_check_empty(&w);
}

/* A pool that wants more than there is leaves the last slot to a VM all the same. */
TEST(pool_holds_no_slot_back)
{
	open_with_pool(BG_TAP_POOL_MAX);
	net_fake_fail(w.engine.net, 2); /* the attach of "a" is good, the pool's next is not */
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_INT(tap_pool_take(w.engine.pool, vm("b")), 1);
	CHECK_INT(tap_pool_ready(w.engine.pool), BG_TAP_POOL_MAX - 2);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
}

TEST(pool_that_cannot_be_filled_stops_nothing)
{
	world_open(&w, NULL);
	w.config->tap_pool = 2;
	world_reopen(&w);
	net_fake_fail(w.engine.net, 1);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	world_run(&w, pool_full, NULL); /* the next reason to fill it is as good as any */
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
}

static enum op_state set_nat(const char *name, bool nat)
{
	struct vm_change change = {.has_nat = true, .nat = nat};
	struct op *op;

	CHECK_INT(
		vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	return world_wait(&w, op);
}

TEST(nat_of_a_running_vm_and_over_restarts)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 0);
	CHECK_INT(set_nat("a", true), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 1);
	CHECK(vm("a")->row->nat && vm("a")->row->state == VM_RUNNING);
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 1);
	CHECK_INT(set_nat("a", false), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(nat_of_a_stopped_vm_waits_for_its_start)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(set_nat("a", true), OP_DONE);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(net_fake_nat(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(net_fake_nat(w.engine.net), 1);
}

TEST(nat_that_is_refused_changes_nothing)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	net_fake_fail(w.engine.net, 1);
	CHECK_INT(set_nat("a", true), OP_FAILED);
	CHECK_STR(world_last_code(), "helper.failed");
	CHECK(!vm("a")->row->nat && !vm("a")->error && !vm("a")->op);
	CHECK_INT(vm("a")->row->state, VM_RUNNING);
	CHECK_INT(set_nat("a", true), OP_DONE);
}

TEST(nat_that_is_refused_ends_the_start)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(set_nat("a", true), OP_DONE);
	net_fake_fail(w.engine.net, 2);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_FAILED);
	CHECK_INT(vm("a")->row->state, VM_STOPPED);
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
}

static bool has_nat(struct world *world, void *userdata)
{
	return net_fake_nat(world->engine.net) == 1;
}

TEST(nat_after_adoption)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(set_nat("a", true), OP_DONE);
	world_reopen(&w);
	world_run(&w, has_nat, NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}
