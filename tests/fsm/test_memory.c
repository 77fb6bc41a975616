/* SPDX-License-Identifier: ISC */
/* What a VM takes of the host, over fakes: memory that it gives back, and limits (daemon/vm/vm_memory.h). */
#include "daemon/vm/vm_memory.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static void set_balloon(const char *name, bool on)
{
	const struct vm_change change = {.has_balloon = true, .no_balloon = !on};
	struct op *op;

	CHECK_INT(
		vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = &change}, &op, NULL), 0);
	CHECK_INT(world_wait(&w, op), OP_DONE);
}

/* By the VM's own setting with its next start, and for all by the configuration. */
TEST(memory_goes_back_unless_it_shall_not)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(strstr(vm_balloon_reason(vm("a")), "goes back"));
	set_balloon("a", false);
	CHECK(strstr(vm_balloon_reason(vm("a")), "goes back"));
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK(strstr(vm_balloon_reason(vm("a")), "--no-balloon"));
	set_balloon("a", true);
	w.config->balloon = false;
	CHECK_INT(world_ask(&w, "a", VM_EV_RESTART), OP_DONE);
	CHECK(strstr(vm_balloon_reason(vm("a")), "config.toml"));
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK(!vm_balloon_reason(vm("a")));
}

/* One that was started by a daemon that knew no balloon. */
TEST(a_vm_of_before_keeps_its_memory)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	vm("a")->row->balloon = VM_BALLOON_NONE;
	CHECK(strstr(vm_balloon_reason(vm("a")), "without a balloon"));
	vm("a")->row->balloon = 77; /* of a newer one */
	CHECK(strstr(vm_balloon_reason(vm("a")), "without a balloon"));
}

/* The words for a VM whose VMM systemd would not take, and for none that could. */
TEST(what_bounds_a_vmm)
{
	_free_ char *none = NULL, *refused = NULL, *own = NULL;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK(!w.engine.scope_socket);
	w.engine.scope_why = "there is no systemd here";
	none = vm_limits_text(vm("a"));
	CHECK_STR(none, "there is no systemd here");
	w.engine.scope_why = NULL;
	refused = vm_limits_text(vm("a"));
	CHECK(strstr(refused, "gave it no scope"));
	vm("a")->row->limited = true;
	own = vm_limits_text(vm("a"));
	CHECK(strstr(own, "a scope of its own: memory above 1.5G"));
	CHECK_INT(world_ask(&w, "a", VM_EV_STOP), OP_DONE);
	CHECK(!vm_limits_text(vm("a")));
}
