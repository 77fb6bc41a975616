/* SPDX-License-Identifier: ISC */
/* The routes under /v1/operations. */
#include <stdio.h>

#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"

/* Ends the call with OP_NOT_FOUND and returns NULL when there is none of that id. */
static struct op *get(struct http_call *call, struct engine *engine)
{
	const char *arg = http_call_arg(call);
	char *end = NULL;
	long long id = strtoll(arg, &end, 10);
	struct op *op = *arg && !*end ? op_find(engine->ops, id) : NULL;
	struct bg_err *err = NULL;

	if (!op) {
		bg_err_set(&err, BG_ERR_OP_NOT_FOUND, ENOENT, "there is no operation %s", arg);
		http_reply_error(call, err);
	}
	return op;
}

void api_op_list(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, ops_to_json(engine->ops));
}

void api_op_show(struct http_call *call, struct engine *engine)
{
	struct op *op = get(call, engine);

	if (op)
		http_reply(call, 200, op_to_json(op));
}

void api_op_follow(struct http_call *call, struct engine *engine)
{
	struct op *op = get(call, engine);

	if (op)
		events_follow_op(engine->events, call, op);
}

void api_op_cancel(struct http_call *call, struct engine *engine)
{
	struct op *op = get(call, engine);
	struct bg_err *err = NULL;

	if (!op)
		return;
	if (op_cancel(op) < 0) {
		bg_err_set(&err, BG_ERR_VM_STATE, EALREADY, "operation %s has ended already",
			http_call_arg(call));
		op = NULL;
	}
	api_reply_op(call, op, err);
}
