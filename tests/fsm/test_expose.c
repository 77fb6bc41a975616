/* SPDX-License-Identifier: ISC */
/* Ports of this machine that a VM was given: what may be asked for, that it is kept, and a guest that does not know of them. tests/driver/test_tunnel.c carries connections. */
#include <stdio.h>

#include "common/json.h"
#include "common/limits.h"
#include "daemon/vm/expose.h"
#include "daemon/vm/vm_set.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

/* The code of the refusal, or of the operation's end; "" when it went well. Takes both. */
static const char *expose(json_t *add, json_t *remove)
{
	const struct vm_change c = {.expose = add, .unexpose = remove};
	static char code[64];
	_err_ struct bg_err *err = NULL;
	struct op *op;

	if (vm_ask(vm("v"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, &err) < 0)
		snprintf(code, sizeof(code), "%s", bg_err_code_str(err->code));
	else if (world_wait(&w, op) == OP_DONE)
		code[0] = '\0';
	else
		snprintf(code, sizeof(code), "%s", world_last_code());
	json_decref(add);
	json_decref(remove);
	return code;
}

TEST(ports_are_kept)
{
	_json_ json_t *list = NULL;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK(!vm("v")->row->expose);
	CHECK_STR(expose(json_pack("[i,i,i]", 5432, 8080, 5432), NULL), "");
	CHECK_STR(vm("v")->row->expose, "[5432,8080]");
	world_reopen(&w);
	CHECK_STR(vm("v")->row->expose, "[5432,8080]");
	list = expose_to_json(vm("v"));
	CHECK_INT(json_array_size(list), 2);
	CHECK(json_is_false(json_object_get(json_array_get(list, 0), "open")));
	CHECK_STR(expose(json_pack("[i]", 22), json_pack("[i]", 5432)), "");
	CHECK_STR(vm("v")->row->expose, "[8080,22]");
	CHECK_STR(expose(NULL, json_pack("[i,i]", 8080, 22)), "");
	CHECK(!vm("v")->row->expose);
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(what_cannot_be_changes_nothing)
{
	json_t *many = json_array();

	for (int i = 0; i <= BG_EXPOSE_MAX; i++)
		json_array_append_new(many, json_integer(1000 + i));
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK_STR(expose(json_pack("[i]", 80), NULL), "");
	CHECK_STR(expose(json_pack("[i]", 0), NULL), "request.invalid");
	CHECK_STR(expose(json_pack("[i]", 65536), NULL), "request.invalid");
	CHECK_STR(expose(json_pack("[i]", 81), json_pack("[i]", 82)), "request.invalid");
	CHECK_STR(expose(many, NULL), "vm.limits");
	CHECK_STR(expose(json_array(), json_array()), "request.invalid");
	CHECK_STR(vm("v")->row->expose, "[80]");
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* The agent of a VMM that is played answers no such command. */
TEST(a_guest_that_does_not_know_of_it)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "v", true), OP_DONE);
	CHECK_STR(expose(json_pack("[i,i]", 80, 81), NULL), "");
	CHECK_INT(world_ask(&w, "v", VM_EV_STOP), OP_DONE);
	CHECK(!vm("v")->expose);
	CHECK_INT(world_ask(&w, "v", VM_EV_START), OP_DONE);
	CHECK_STR(expose(NULL, json_pack("[i]", 80)), "");
	world_reopen(&w);
	CHECK_STR(vm("v")->row->expose, "[81]");
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

TEST(this_machines_name_is_no_vms)
{
	const struct vm_change c = {.name = "host"};
	_err_ struct bg_err *err = NULL, *again = NULL;
	struct op *op;

	world_open(&w, NULL);
	CHECK(vm_create(&w.engine, &(struct vm_request){.name = "host"}, &op, &err) < 0);
	CHECK_INT(err->code, BG_ERR_NAME_INVALID);
	CHECK_INT(world_create(&w, "v", false), OP_DONE);
	CHECK(vm_ask(vm("v"), VM_EV_SET, &(struct vm_options){.change = &c}, &op, &again) < 0);
	CHECK_INT(again->code, BG_ERR_NAME_INVALID);
	CHECK_INT(world_ask(&w, "v", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}
