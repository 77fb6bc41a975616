/* SPDX-License-Identifier: ISC */
/* What VMs use: GET /v1/usage and /v1/vms/{name}/usage. */
#include "common/timefmt.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"
#include "daemon/vm/usage.h"

struct answer {
	struct http_call *call;
	json_t *record;
};

void api_usage(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, api_usage_list(engine));
}

/* Its guest has answered, or does not. */
static void on_guest(const json_t *guest, void *userdata)
{
	_free_ struct answer *answer = userdata;

	if (guest)
		json_object_set(answer->record, "guest", (json_t *)(uintptr_t)guest);
	http_reply(answer->call, 200, answer->record);
}

static int find(struct engine *engine, const char *name, struct vm **ret, struct bg_err **err)
{
	int r = vms_get(engine->vms, name, ret, err);

	if (r < 0 || (*ret)->vmm)
		return r;
	r = bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is %s", name,
		vm_state_str((enum vm_state)(*ret)->row->state));
	bg_err_hint(err, "only a VM that runs uses anything: `banger vm start %s`", name);
	return r;
}

void api_vm_usage(struct http_call *call, struct engine *engine)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct bg_err *err = NULL;
	struct vm *vm;

	if (!answer)
		bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	else if (find(engine, http_call_arg(call), &vm, &err) >= 0 &&
		 !(answer->record = usage_of(vm)))
		bg_err_set(&err, BG_ERR_VM_STATE, ESRCH, "the VMM of VM \"%s\" has just ended",
			vm->row->name);
	if (err) {
		free(answer);
		http_reply_error(call, err);
		return;
	}
	answer->call = call;
	json_object_set_new(answer->record, "guest", json_null());
	if (!usage_ask_guest(vm, on_guest, answer))
		on_guest(NULL, answer);
}
