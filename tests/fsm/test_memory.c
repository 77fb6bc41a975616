/* SPDX-License-Identifier: ISC */
/* What a VM takes of the host, over fakes: memory that it gives back (daemon/vm/vm_memory.h), processors (vm_cpus.c). */
#include "daemon/driver/vmm.h"
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

/* QEMU that emulates processors in one thread: made, not started. */
TEST(one_processor_where_more_are_slower)
{
	struct vmm_choice *choice, was;

	world_open(&w, NULL);
	choice = (struct vmm_choice *)vmm_probe_choice(w.engine.probe);
	was = *choice;
	choice->driver = &vmm_qemu;
	choice->accel = VMM_ACCEL_TCG;
	choice->version = (char *)"7.2.22";
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(vm("a")->row->vcpus, 1);
	CHECK(strstr(vm_cpus_reason(vm("a")), "in one thread"));
	choice->version = (char *)"8.1.0";
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	CHECK_INT(vm("b")->row->vcpus, 2);
	CHECK(!vm_cpus_reason(vm("b")));
	choice->version = (char *)"7.2.22";
	w.config->cpus_named = true; /* default_cpus is its user's word */
	CHECK_INT(world_create(&w, "c", false), OP_DONE);
	CHECK_INT(vm("c")->row->vcpus, 2);
	*choice = was;
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
