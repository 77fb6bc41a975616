/* SPDX-License-Identifier: ISC */
/* The routes under /v1/images. What happens is in asset/. */
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/asset/blobs.h"
#include "daemon/asset/bundle.h"
#include "daemon/engine.h"
#include "daemon/vm/vm.h"
#include "daemon/vm/vm_commit.h"

void api_image_list(struct http_call *call, struct engine *engine)
{
	http_reply(call, 200, images_to_json(engine->images));
}

void api_image_show(struct http_call *call, struct engine *engine)
{
	const struct image_row *row;
	struct bg_err *err = NULL;

	if (images_get(engine->images, http_call_arg(call), &row, &err) < 0)
		http_reply_error(call, err);
	else
		http_reply(call, 200, image_to_json(engine->images, row));
}

void api_image_build(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call), *package;
	struct image_build_request request = {.name = api_str(body, "name"),
		.kernel = api_str(body, "kernel"),
		.suite = api_str(body, "suite"),
		.mirror = api_str(body, "mirror"),
		.minimal = api_bool(body, "minimal", false),
		.size_mib = (uint64_t)api_int(body, "size_mib", 0)};
	struct bg_err *err = NULL;
	struct op *op = NULL;
	size_t i;

	json_array_foreach (json_object_get(body, "packages"), i, package)
		request.packages[request.n_packages++] = json_string_value(package);
	(void)image_build(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_register(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const struct image_register_request request = {.name = api_str(body, "name"),
		.rootfs = api_str(body, "rootfs"),
		.kernel = api_str(body, "kernel"),
		.files = {.kernel = api_str(body, "kernel_file"),
			.modules = api_str(body, "modules_file"),
			.initrd = api_str(body, "initrd_file")},
		.replace = api_bool(body, "replace", false)};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_register(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_pull(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const struct image_pull_request request = {.ref = api_str(body, "ref"),
		.name = api_str(body, "name"),
		.kernel = api_str(body, "kernel"),
		.size_mib = (uint64_t)api_int(body, "size_mib", 0)};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_pull(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_prune(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	unsigned files = 0, layers;
	uint64_t bytes = 0;

	if (blobs_prune(engine->blobs, &files, &bytes, &err) < 0) {
		http_reply_error(call, err);
	} else {
		layers = files;
		content_store_prune(engine, &files, &bytes);
		http_reply(call, 200,
			json_pack("{s:i, s:i, s:I}", "files", (int)files, "unused",
				(int)(files - layers), "bytes", (json_int_t)bytes));
	}
}

void api_image_commit(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	struct bg_err *err = NULL;
	struct op *op = NULL;
	struct vm *vm;

	if (vms_get(engine->vms, api_str(body, "vm"), &vm, &err) >= 0)
		(void)vm_commit(engine, api_str(body, "name"), vm, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_export(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_export(
		engine, http_call_arg(call), api_str(http_call_body(call), "path"), &op, &err);
	api_reply_op(call, op, err);
}

void api_image_import(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const struct image_import_request request = {.from = api_str(body, "from"),
		.catalog = api_str(body, "catalog"),
		.name = api_str(body, "name"),
		.sha256 = api_str(body, "sha256")};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_import(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_promote(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_promote(engine, http_call_arg(call), &op, &err);
	api_reply_op(call, op, err);
}

void api_image_delete(struct http_call *call, struct engine *engine)
{
	struct bg_err *err = NULL;
	struct op *op = NULL;

	(void)image_delete(engine, http_call_arg(call), &op, &err);
	api_reply_op(call, op, err);
}
