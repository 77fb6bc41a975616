/* SPDX-License-Identifier: ISC */
/* The routes under /v1/images. What happens is in asset/. */
#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/asset/blobs.h"
#include "daemon/asset/bundle.h"
#include "daemon/engine.h"
#include "daemon/vm/vm.h"

static const char *const build_fields[] = {
	"name", "kernel", "packages", "size_mib", "suite", "mirror", "minimal", NULL};
static const char *const pull_fields[] = {"ref", "name", "kernel", "size_mib", NULL};
static const char *const commit_fields[] = {"name", "vm", NULL};
static const char *const export_fields[] = {"path", NULL};
static const char *const import_fields[] = {"name", "from", "catalog", "sha256", NULL};
static const char *const register_fields[] = {
	"name", "rootfs", "kernel", "kernel_file", "modules_file", "initrd_file", "replace", NULL};

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

static int parse_packages(
	const json_t *body, struct image_build_request *request, struct bg_err **err)
{
	const json_t *list = NULL;
	int r = bg_json_get_array(body, "packages", &list);

	if (r == -ENOENT)
		return 0;
	if (r < 0 || json_array_size(list) > IMAGE_PACKAGES_MAX)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"\"packages\" is not a list of at most %d names", IMAGE_PACKAGES_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		request->packages[i] = json_string_value(json_array_get(list, i));
		if (!request->packages[i])
			return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
				"\"packages\" has an entry that is not a string");
		request->n_packages++;
	}
	return 0;
}

static int parse_build(const json_t *body, struct image_build_request *request, struct bg_err **err)
{
	int64_t size = 0;
	int r = api_only_fields(body, build_fields, err);

	if (r >= 0)
		r = bg_json_need_str(body, "name", BG_ERR_BAD_REQUEST, &request->name, err);
	if (r >= 0)
		r = bg_json_or_str(body, "kernel", BG_ERR_BAD_REQUEST, &request->kernel, err);
	if (r >= 0)
		r = bg_json_or_str(body, "suite", BG_ERR_BAD_REQUEST, &request->suite, err);
	if (r >= 0)
		r = bg_json_or_str(body, "mirror", BG_ERR_BAD_REQUEST, &request->mirror, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "minimal", BG_ERR_BAD_REQUEST, &request->minimal, err);
	if (r >= 0)
		r = bg_json_or_int(body, "size_mib", BG_ERR_BAD_REQUEST, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &size, err);
	request->size_mib = (uint64_t)size;
	return r < 0 ? r : parse_packages(body, request, err);
}

void api_image_build(struct http_call *call, struct engine *engine)
{
	struct image_build_request request = {0};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (parse_build(http_call_body(call), &request, &err) >= 0)
		(void)image_build(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

static int parse_register(
	const json_t *body, struct image_register_request *request, struct bg_err **err)
{
	int r = api_only_fields(body, register_fields, err);

	if (r >= 0)
		r = bg_json_need_str(body, "name", BG_ERR_BAD_REQUEST, &request->name, err);
	if (r >= 0)
		r = bg_json_need_str(body, "rootfs", BG_ERR_BAD_REQUEST, &request->rootfs, err);
	if (r >= 0)
		r = bg_json_or_str(body, "kernel", BG_ERR_BAD_REQUEST, &request->kernel, err);
	if (r >= 0)
		r = bg_json_or_str(
			body, "kernel_file", BG_ERR_BAD_REQUEST, &request->files.kernel, err);
	if (r >= 0)
		r = bg_json_or_str(
			body, "modules_file", BG_ERR_BAD_REQUEST, &request->files.modules, err);
	if (r >= 0)
		r = bg_json_or_str(
			body, "initrd_file", BG_ERR_BAD_REQUEST, &request->files.initrd, err);
	if (r >= 0)
		r = bg_json_or_bool(body, "replace", BG_ERR_BAD_REQUEST, &request->replace, err);
	return r;
}

void api_image_register(struct http_call *call, struct engine *engine)
{
	struct image_register_request request = {0};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (parse_register(http_call_body(call), &request, &err) >= 0)
		(void)image_register(engine, &request, &op, &err);
	api_reply_op(call, op, err);
}

static int parse_pull(const json_t *body, struct image_pull_request *request, struct bg_err **err)
{
	int64_t size = 0;
	int r = api_only_fields(body, pull_fields, err);

	if (r >= 0)
		r = bg_json_need_str(body, "ref", BG_ERR_BAD_REQUEST, &request->ref, err);
	if (r >= 0)
		r = bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &request->name, err);
	if (r >= 0)
		r = bg_json_or_str(body, "kernel", BG_ERR_BAD_REQUEST, &request->kernel, err);
	if (r >= 0)
		r = bg_json_or_int(body, "size_mib", BG_ERR_BAD_REQUEST, BG_DISK_MIB_MIN,
			BG_DISK_MIB_MAX, &size, err);
	request->size_mib = (uint64_t)size;
	return r;
}

void api_image_pull(struct http_call *call, struct engine *engine)
{
	struct image_pull_request request = {0};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (parse_pull(http_call_body(call), &request, &err) >= 0)
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
		keep_prune(engine, &files, &bytes);
		http_reply(call, 200,
			json_pack("{s:i, s:i, s:I}", "files", (int)files, "unused",
				(int)(files - layers), "bytes", (json_int_t)bytes));
	}
}

void api_image_commit(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const char *name = NULL, *vm_name = NULL;
	struct bg_err *err = NULL;
	struct op *op = NULL;
	struct vm *vm;
	int r = api_only_fields(body, commit_fields, &err);

	if (r >= 0)
		r = bg_json_need_str(body, "name", BG_ERR_BAD_REQUEST, &name, &err);
	if (r >= 0)
		r = bg_json_need_str(body, "vm", BG_ERR_BAD_REQUEST, &vm_name, &err);
	if (r >= 0)
		r = vms_get(engine->vms, vm_name, &vm, &err);
	if (r >= 0)
		(void)image_commit(engine, name, vm, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_export(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	const char *path = NULL;
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (api_only_fields(body, export_fields, &err) >= 0 &&
		bg_json_need_str(body, "path", BG_ERR_BAD_REQUEST, &path, &err) >= 0)
		(void)image_export(engine, http_call_arg(call), path, &op, &err);
	api_reply_op(call, op, err);
}

void api_image_import(struct http_call *call, struct engine *engine)
{
	const json_t *body = http_call_body(call);
	struct image_import_request request = {0};
	struct bg_err *err = NULL;
	struct op *op = NULL;

	if (api_only_fields(body, import_fields, &err) >= 0 &&
		bg_json_or_str(body, "from", BG_ERR_BAD_REQUEST, &request.from, &err) >= 0 &&
		bg_json_or_str(body, "catalog", BG_ERR_BAD_REQUEST, &request.catalog, &err) >= 0 &&
		bg_json_or_str(body, "name", BG_ERR_BAD_REQUEST, &request.name, &err) >= 0 &&
		bg_json_or_str(body, "sha256", BG_ERR_BAD_REQUEST, &request.sha256, &err) >= 0)
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
