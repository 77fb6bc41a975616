/* SPDX-License-Identifier: ISC */
/* The routes under /v1/kernels. What happens is in asset/. */
#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"

static const char *const import_fields[] = {"name", "path", "modules", "initrd", NULL};

static const char *const pull_fields[] = {"catalog", "name", NULL};

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
	struct kernel_files files = {0};
	const char *name = NULL;
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (api_only_fields(body, import_fields, &err) >= 0 &&
		bg_json_need_str(body, "path", BG_ERR_BAD_REQUEST, &files.kernel, &err) >= 0 &&
		bg_json_or_str(body, "modules", BG_ERR_BAD_REQUEST, &files.modules, &err) >= 0 &&
		bg_json_or_str(body, "initrd", BG_ERR_BAD_REQUEST, &files.initrd, &err) >= 0 &&
		bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &name, &err) >= 0)
		(void)kernel_import(engine, name, &files, &op, &err);
	api_reply_op(call, op, err);
}

void api_kernel_pull(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const char *wanted = NULL, *name = NULL;
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (api_only_fields(body, pull_fields, &err) >= 0 &&
		bg_json_need_str(body, "catalog", BG_ERR_BAD_REQUEST, &wanted, &err) >= 0 &&
		bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &name, &err) >= 0)
		(void)kernel_pull(engine, wanted, name, &op, &err);
	api_reply_op(call, op, err);
}

void api_kernel_delete(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)kernel_delete(engine, http_call_arg(call), &op, &err);
	api_reply_op(call, op, err);
}
