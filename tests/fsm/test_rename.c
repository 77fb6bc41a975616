/* SPDX-License-Identifier: ISC */
/* A VM gets another name: stopped and running, with a guest that does not hear it, and when the name is taken. */
#include "common/json.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static int ask(const char *name, const char *wanted, struct op **ret, struct bg_err **err)
{
	struct vm_change change = {.name = wanted};

	return vm_ask(vm(name), VM_EV_SET, &(struct vm_options){.change = &change}, ret, err);
}

static enum op_state rename_to(const char *name, const char *wanted)
{
	struct op *op = NULL;

	CHECK_INT(ask(name, wanted, &op, NULL), 0);
	return world_wait(&w, op);
}

static void expect_refusal(const char *name, const char *wanted, enum bg_err_code code)
{
	_err_ struct bg_err *err = NULL;
	struct op *op = NULL;

	CHECK(ask(name, wanted, &op, &err) < 0);
	CHECK(err && err->code == code);
	CHECK(vm(name) != NULL);
}

TEST(a_stopped_one_keeps_all_but_its_name)
{
	char id[BG_ID_LEN + 1];

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	strcpy(id, vm("a")->row->id);
	CHECK_INT(rename_to("a", "z"), OP_DONE);
	CHECK(!vm("a"));
	CHECK_STR(vm("z")->row->id, id);
	/* still ordered by name */
	CHECK_STR(vms_first(w.engine.vms)->row->name, "b");
	CHECK_STR(vms_first(w.engine.vms)->next->row->name, "z");
	world_reopen(&w);
	CHECK(!vm("a"));
	CHECK_STR(vm("z")->row->id, id);
	CHECK_INT(world_ask(&w, "z", VM_EV_START), OP_DONE);
	/* the old name is free */
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
}

TEST(a_running_one_is_told)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(rename_to("a", "b"), OP_DONE);
	CHECK_INT(vm("b")->row->state, VM_RUNNING);
	CHECK_INT(world_ask(&w, "b", VM_EV_STOP), OP_DONE);
}

TEST(a_guest_that_does_not_take_it_learns_it_later)
{
	world_open(&w, "no-exec");
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(rename_to("a", "b"), OP_FAILED);
	CHECK_STR(world_last_code(), "agent.failed");
	CHECK(!vm("a"));
	CHECK_INT(vm("b")->row->state, VM_RUNNING);
	world_reopen(&w);
	CHECK(!vm("a") && vm("b"));
}

TEST(a_name_that_is_taken_or_none_is_refused)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", false), OP_DONE);
	CHECK_INT(world_create(&w, "b", false), OP_DONE);
	expect_refusal("a", "b", BG_ERR_VM_NAME_TAKEN);
	expect_refusal("a", "a", BG_ERR_VM_NAME_TAKEN);
	expect_refusal("a", "No Name", BG_ERR_NAME_INVALID);
}
