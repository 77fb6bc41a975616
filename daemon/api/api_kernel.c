/* SPDX-License-Identifier: ISC */
/* The routes under /v1/kernels. What happens is in asset/. */
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"

void api_kernel_list(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, kernels_to_json(engine->kernels));
}

void api_kernel_show(struct http_call *call, struct engine *engine)
{
	const struct kernel_row *row;
	struct bg_err *err = NULL;

	if (kernels_get(engine->kernels, http_call_arg(call), &row, &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, kernel_to_json(engine->kernels, row));
}

void api_kernel_import(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const struct kernel_files files = {.kernel = api_str(body, "path"),
		.modules = api_str(body, "modules"),
		.initrd = api_str(body, "initrd")};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)kernel_import(
		engine, api_str(body, "name"), &files, api_bool(body, "replace", false), &op, &err);
	api_reply_op(call, op, err);
}

void api_kernel_pull(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)kernel_pull(engine, api_str(body, "catalog"), api_str(body, "name"), &op, &err);
	api_reply_op(call, op, err);
}

void api_kernel_delete(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)kernel_delete(engine, http_call_arg(call), &op, &err);
	api_reply_op(call, op, err);
}
