/* SPDX-License-Identifier: ISC */
/*
 * image pull: a container image of a registry becomes a managed image. One worker finds out what
 * it is made of, one fetches the layers that the cache lacks, one turns them into a root file
 * system and a work seed. What was fetched stays in the cache, whatever happens later.
 */
#include <stdio.h>

#include "common/json.h"
#include "common/log.h"
#include "common/name.h"
#include "common/oci_ref.h"
#include "daemon/asset/blobs.h"
#include "daemon/asset/image_disk.h"
#include "daemon/asset/image_task.h"
#include "daemon/asset/registry_auth.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct layer {
	char digest[BG_OCI_DIGEST + 1];
	uint64_t size;
	int fd;	    /* -1: not open yet */
	bool whole; /* in the cache already */
	bool again; /* the same as an earlier one, whose file it uses */
};

struct pull_task {
	struct image_task base;
	struct oci_ref *ref;
	char *text;	  /* ref with its defaults */
	json_t *registry; /* whom to ask and how: parameters of both network jobs */
	uint64_t size_mib;
	struct blobs_turn *turn;
	struct layer *layers; /* bottom to top */
	size_t n_layers;
};

static void task_free(void *userdata)
{
	struct pull_task *task = userdata;

	image_task_done(&task->base);
	blobs_turn_free(task->turn);
	for (size_t i = 0; i < task->n_layers; i++)
		trash_close(task->base.engine->trash, task->layers[i].fd);
	free(task->layers);
	json_decref(task->registry);
	oci_ref_free(task->ref);
	free(task->text);
	free(task);
}

static int take_layer(struct pull_task *task, const json_t *obj, struct bg_err **err)
{
	struct layer *layer = &task->layers[task->n_layers];
	const char *digest = NULL;
	int64_t size = 0;

	layer->fd = -1;
	if (bg_json_get_str(obj, "digest", &digest) < 0 || !oci_digest_valid(digest) ||
		bg_json_get_int(obj, "size", 0, (int64_t)BG_IMAGE_MAX, &size) < 0)
		return bg_err_set(
			err, BG_ERR_WORKER, EPROTO, "the worker's list of layers is malformed");
	memcpy(layer->digest, digest, sizeof(layer->digest));
	layer->size = (uint64_t)size;
	for (size_t i = 0; i < task->n_layers; i++)
		layer->again = layer->again || bg_streq(task->layers[i].digest, digest);
	task->n_layers++;
	return 0;
}

static int take_layers(struct pull_task *task, const json_t *result, struct bg_err **err)
{
	const json_t *list = json_object_get(result, "layers"), *obj;
	size_t n = json_array_size(list), i;
	int r = 0;

	if (n == 0 || n > BG_LAYERS_MAX)
		return bg_err_set(
			err, BG_ERR_WORKER, EPROTO, "the worker's list of layers is malformed");
	task->layers = calloc(n, sizeof(*task->layers));
	if (!task->layers)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach (list, i, obj)
		if (r >= 0)
			r = take_layer(task, obj, err);
	return r;
}

static void on_resolved(const json_t *result, struct bg_err *err, void *userdata)
{
	struct pull_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);
	const char *digest = "";

	if (!err && take_layers(task, result, &failed) >= 0 &&
		image_task_take_env(&task->base, result, &failed) >= 0) {
		(void)bg_json_get_str(result, "digest", &digest);
		log_msg(LOG_INFO, "image", "a container image is pulled", "name", task->base.name,
			"ref", task->text, "digest", digest, NULL);
	}
	image_task_end_step(&task->base, failed);
}

static int step_resolve(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;
	json_t *params = json_deep_copy(task->registry);
	int r;

	task->base.op = op;
	if (params) {
		json_object_set_new(params, "reference", bg_json_str(oci_ref_reference(task->ref)));
		json_object_set_new(params, "name", bg_json_str(task->text));
	}
	op_set_text(op, task->text);
	r = job_start(task->base.engine->jobs, JOB_RESOLVE, params, NULL, 0, NULL, on_resolved,
		task, &task->base.job, err);
	if (r >= 0)
		job_on_wait(task->base.job, op_show_wait, task->base.op);
	return r < 0 ? r : OP_WAIT;
}

static int commit_layers(struct pull_task *task, struct bg_err **err)
{
	int r = 0;

	for (size_t i = 0; i < task->n_layers && r >= 0; i++)
		if (!task->layers[i].whole && !task->layers[i].again)
			r = blobs_commit(task->base.engine->blobs, task->layers[i].digest, err);
	return r;
}

static void end_fetch(struct pull_task *task, struct bg_err *err)
{
	if (!err)
		(void)commit_layers(task, &err);
	blobs_turn_free(TAKE_PTR(task->turn));
	image_task_end_step(&task->base, err);
}

static void on_fetched(const json_t *result, struct bg_err *err, void *userdata)
{
	(void)result;
	end_fetch(userdata, bg_err_copy(err));
}

static int open_layers(struct pull_task *task, struct bg_err **err)
{
	int r = 0;

	for (size_t i = 0; i < task->n_layers && r >= 0; i++) {
		struct layer *layer = &task->layers[i];

		if (!layer->again)
			r = blobs_open(task->base.engine->blobs, layer->digest, layer->size,
				&layer->fd, &layer->whole, err);
	}
	return r;
}

/* 1 when a job was started, 0 when nothing is missing. */
static int start_fetch(struct pull_task *task, struct bg_err **err)
{
	json_t *params = json_deep_copy(task->registry), *blobs = json_array();
	int fds[BG_LAYERS_MAX], r;
	unsigned n = 0;

	for (size_t i = 0; i < task->n_layers; i++) {
		const struct layer *layer = &task->layers[i];

		if (layer->whole || layer->again)
			continue;
		json_array_append_new(blobs, json_pack("{s:s, s:I}", "digest", layer->digest,
						     "size", (json_int_t)layer->size));
		fds[n++] = layer->fd;
	}
	json_object_set_new(params, "blobs", blobs);
	if (n == 0) {
		json_decref(params);
		return 0;
	}
	op_set_text(task->base.op, "fetching layers");
	r = job_start(task->base.engine->jobs, JOB_BLOBS, params, fds, n, image_task_progress,
		on_fetched, task, &task->base.job, err);
	if (r >= 0)
		job_on_wait(task->base.job, op_show_wait, task->base.op);
	return r < 0 ? r : 1;
}

static void on_turn(void *userdata)
{
	struct pull_task *task = userdata;
	struct bg_err *err = NULL;
	int r = open_layers(task, &err);

	if (r >= 0)
		r = start_fetch(task, &err);
	if (r <= 0)
		end_fetch(task, err);
}

static int step_fetch(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;
	int r;

	op_set_text(op, "waiting for another pull");
	r = blobs_wait_turn(task->base.engine->blobs, on_turn, task, &task->turn, err);
	return r < 0 ? r : OP_WAIT;
}

static void cancel_fetch(struct op *op, void *ctx)
{
	struct pull_task *task = ctx;

	image_task_cancel(op, ctx);
	blobs_turn_free(TAKE_PTR(task->turn));
}

static int layer_fd(const struct pull_task *task, size_t i)
{
	size_t first = 0;

	while (!bg_streq(task->layers[first].digest, task->layers[i].digest))
		first++;
	return task->layers[first].fd;
}

static int step_flatten(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;
	json_t *names = json_array();
	int fds[BG_LAYERS_MAX];

	(void)op;
	for (size_t i = 0; i < task->n_layers; i++) {
		fds[i] = layer_fd(task, i);
		json_array_append_new(names, json_string(task->layers[i].digest));
	}
	return image_task_flatten(&task->base, task->size_mib, json_pack("{s:o}", "layers", names),
		fds, task->n_layers, err);
}

static int step_list(struct op *op, void *ctx, struct bg_err **err)
{
	const struct engine *engine = ((const struct pull_task *)ctx)->base.engine;
	int r = image_task_list(op, ctx, err);

	if (r >= 0)
		blobs_trim(engine->blobs, engine->config->layer_cache_mib * MIB);
	return r;
}

static const struct op_step steps[] = {
	{"resolve", "asking the registry", false, step_resolve, image_task_cancel, image_task_undo},
	{"fetch", "fetching layers", false, step_fetch, cancel_fetch, NULL},
	{"flatten", "writing the root file system", false, step_flatten, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, step_list, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "image.pull",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

/* Words of the key insecure_registries, separated by blanks or commas. */
static bool listed(const char *list, const char *host)
{
	size_t len = strlen(host);

	while (*list) {
		size_t n = strcspn(list, ", ");

		if (n == len && strncasecmp(list, host, n) == 0)
			return true;
		list += n + strspn(list + n, ", ");
	}
	return false;
}

static int fill_registry(struct engine *engine, struct pull_task *task, struct bg_err **err)
{
	const struct oci_ref *ref = task->ref;
	bool plain =
		oci_ref_is_loopback(ref) || listed(engine->config->insecure_registries, ref->host);

	task->registry = json_pack("{s:s, s:s, s:b}", "host", ref->host, "repository",
		ref->repository, "plain", (int)plain);
	if (!task->registry)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return registry_auth_add(engine->paths, ref, task->registry, err);
}

static int enter(struct engine *engine, const struct image_pull_request *request,
	struct pull_task *task, struct bg_err **err)
{
	_free_ char *made = NULL;
	int r = oci_ref_parse(request->ref, &task->ref, err);

	if (r >= 0 && !request->name)
		r = image_default_name(task->ref->repository, &made, err);
	if (r >= 0)
		r = fill_registry(engine, task, err);
	if (r >= 0 && !(task->text = oci_ref_print(task->ref)))
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return r < 0 ? r
		     : image_task_enter(&task->base, engine, request->name ? request->name : made,
			       request->kernel, task->text, err);
}

int image_pull(struct engine *engine, const struct image_pull_request *request, struct op **ret,
	struct bg_err **err)
{
	struct pull_task *task;
	int r;

	if (image_disk_is(request->ref))
		return image_disk_pull(engine, request, ret, err);
	task = calloc(1, sizeof(*task));
	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	task->size_mib = request->size_mib;
	r = enter(engine, request, task, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops, &plan, task->base.name, task, ret, err);
}
