/* SPDX-License-Identifier: ISC */
/*
 * See image_disk.h. Workers read the documents, one after the other as they name each other; the
 * engine opens the files, which only ever have names made of digests below the directory that the
 * user named. Layers are read where they lie and their digests checked on the way: nothing gets
 * into the cache of the registries' layers.
 */
#include "daemon/asset/image_disk.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/json.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/oci_ref.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/image_task.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

#define LAYOUT	    "oci:"
#define ARCHIVE	    "docker-archive:"
#define INDEX_DEPTH 3 /* an index may name an index; nobody nests deeper */

struct disk_layer {
	int fd;
	json_t *range; /* offset and size in the file */
	char digest[BG_OCI_DIGEST + 1];
};

struct disk_task {
	struct image_task base;
	char *text, *path, *tag; /* text: as the user wrote it; tag: or NULL */
	bool archive;
	uint64_t size_mib;
	/* the document that the worker reads now */
	const char *kind;
	unsigned depth;
	struct disk_layer *layers; /* bottom to top */
	size_t n_layers;
};

bool image_disk_is(const char *ref)
{
	return strncmp(ref, LAYOUT, strlen(LAYOUT)) == 0 ||
	       strncmp(ref, ARCHIVE, strlen(ARCHIVE)) == 0;
}

static void task_free(void *userdata)
{
	struct disk_task *task = userdata;

	image_task_done(&task->base);
	for (size_t i = 0; i < task->n_layers; i++) {
		trash_close(task->base.engine->trash, task->layers[i].fd);
		json_decref(task->layers[i].range);
	}
	free(task->layers);
	free(task->text);
	free(task->path);
	free(task->tag);
	free(task);
}

/* Where the blob of this digest lies; the digest's form was checked. The caller's. */
static char *blob_path(const struct disk_task *task, const char *digest)
{
	char *path;

	if (asprintf(&path, "%s/blobs/sha256/%s", task->path, digest + strlen("sha256:")) < 0)
		return NULL;
	return path;
}

static int open_blob(
	const struct disk_task *task, const char *digest, int *ret, struct bg_err **err)
{
	_free_ char *path = oci_digest_valid(digest) ? blob_path(task, digest) : NULL;

	if (!oci_digest_valid(digest))
		return bg_err_set(err, BG_ERR_WORKER, EPROTO, "the worker's answer is malformed");
	if (!path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return asset_open_source(path, BG_ERR_IMAGE_INVALID, ret, err);
}

static int take_layer(struct disk_task *task, int file, const json_t *obj, struct bg_err **err)
{
	struct disk_layer *layer = &task->layers[task->n_layers];
	int64_t offset = 0, size = 0;
	const char *digest = NULL;
	int r = 0;

	if (bg_json_get_str(obj, "digest", &digest) < 0 || !oci_digest_valid(digest) ||
		bg_json_get_int(obj, "size", 0, INT64_MAX, &size) < 0)
		return bg_err_set(
			err, BG_ERR_WORKER, EPROTO, "the worker's list of layers is malformed");
	(void)bg_json_get_int(obj, "offset", 0, INT64_MAX, &offset);
	memcpy(layer->digest, digest, sizeof(layer->digest));
	layer->fd = -1;
	layer->range =
		json_pack("{s:I, s:I}", "offset", (json_int_t)offset, "size", (json_int_t)size);
	task->n_layers++;
	if (file < 0)
		return open_blob(task, digest, &layer->fd, err);
	layer->fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
	if (layer->fd < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "read %s", task->path);
	return r;
}

/* file: where they all are, or -1 for blobs of their own. */
static int take_layers(struct disk_task *task, int file, const json_t *result, struct bg_err **err)
{
	const json_t *list = json_object_get(result, "layers"), *obj;
	size_t n = json_array_size(list), i;
	int r = 0;

	if (n == 0 || n > BG_LAYERS_MAX || task->layers)
		return bg_err_set(
			err, BG_ERR_WORKER, EPROTO, "the worker's list of layers is malformed");
	task->layers = calloc(n, sizeof(*task->layers));
	if (!task->layers)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach (list, i, obj) {
		r = take_layer(task, file, obj, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_document(const json_t *result, struct bg_err *err, void *userdata);

static int start_document(
	struct disk_task *task, const char *kind, const char *digest, struct bg_err **err)
{
	_free_ char *index = NULL;
	_close_ int fd = -1;
	int r;

	task->kind = kind;
	if (digest) {
		r = open_blob(task, digest, &fd, err);
	} else {
		if (asprintf(&index, "%s/index.json", task->path) < 0) {
			index = NULL;
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		}
		r = asset_open_source(index, BG_ERR_IMAGE_INVALID, &fd, err);
	}
	if (r < 0)
		return r;
	return job_start(task->base.engine->jobs, JOB_LAYOUT,
		json_pack("{s:s, s:s, s:s*, s:s*}", "name", task->text, "kind", kind, "digest",
			digest, "tag", digest ? NULL : task->tag),
		&fd, 1, NULL, on_document, task, &task->base.job, err);
}

/* 1 when the next document is being read, 0 when all are. */
static int next_document(struct disk_task *task, const json_t *result, struct bg_err **err)
{
	const json_t *next = json_object_get(result, "next");
	const char *kind = next ? "manifest" : "config", *digest = "";
	int r;

	if (bg_streq(task->kind, "config"))
		return image_task_take_env(&task->base, result, err);
	if (next && task->depth++ == INDEX_DEPTH)
		return bg_err_set(err, BG_ERR_REGISTRY_INVALID, ELOOP,
			"%s is an index of indexes without an end", task->text);
	if (!next) {
		r = take_layers(task, -1, result, err);
		if (r < 0)
			return r;
		next = json_object_get(result, "config");
	}
	(void)bg_json_get_str(next, "digest", &digest);
	r = start_document(task, kind, digest, err);
	return r < 0 ? r : 1;
}

static void on_document(const json_t *result, struct bg_err *err, void *userdata)
{
	struct disk_task *task = userdata;
	struct job *done = TAKE_PTR(task->base.job);
	struct bg_err *failed = bg_err_copy(err);
	int r = err ? -EIO : next_document(task, result, &failed);

	job_free(done); /* result and err go with it */
	if (r <= 0)
		image_task_end_step(&task->base, failed);
}

static void on_archive(const json_t *result, struct bg_err *err, void *userdata)
{
	struct disk_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);
	_close_ int file = -1;

	if (!err && asset_open_source(task->path, BG_ERR_IMAGE_INVALID, &file, &failed) >= 0)
		(void)take_layers(task, file, result, &failed);
	if (!failed)
		(void)image_task_take_env(&task->base, result, &failed);
	image_task_end_step(&task->base, failed);
}

static int start_archive(struct disk_task *task, struct bg_err **err)
{
	_close_ int fd = -1;
	int r = asset_open_source(task->path, BG_ERR_IMAGE_INVALID, &fd, err);

	if (r < 0)
		return r;
	return job_start(task->base.engine->jobs, JOB_ARCHIVE,
		json_pack("{s:s, s:s*}", "name", task->text, "tag", task->tag), &fd, 1,
		image_task_progress, on_archive, task, &task->base.job, err);
}

static int step_resolve(struct op *op, void *ctx, struct bg_err **err)
{
	struct disk_task *task = ctx;
	int r;

	task->base.op = op;
	op_set_text(op, task->text);
	r = task->archive ? start_archive(task, err) : start_document(task, "top", NULL, err);
	return r < 0 ? r : OP_WAIT;
}

static int step_flatten(struct op *op, void *ctx, struct bg_err **err)
{
	struct disk_task *task = ctx;
	json_t *names = json_array(), *ranges = json_array();
	int fds[BG_LAYERS_MAX];

	(void)op;
	for (size_t i = 0; i < task->n_layers; i++) {
		fds[i] = task->layers[i].fd;
		json_array_append_new(names, json_string(task->layers[i].digest));
		json_array_append(ranges, task->layers[i].range);
	}
	return image_task_flatten(&task->base, task->size_mib,
		json_pack("{s:b, s:o, s:o}", "check", 1, "layers", names, "ranges", ranges), fds,
		task->n_layers, err);
}

static const struct op_step steps[] = {
	{"resolve", "reading the manifest", false, step_resolve, image_task_cancel,
		image_task_undo},
	{"flatten", "writing the root file system", false, step_flatten, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_list, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "image.pull",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

/* A path that has a colon itself cannot be named: the first one ends it, as for other tools. */
static int parse(struct disk_task *task, const char *ref, struct bg_err **err)
{
	const char *path, *colon;

	task->archive = strncmp(ref, ARCHIVE, strlen(ARCHIVE)) == 0;
	path = ref + strlen(task->archive ? ARCHIVE : LAYOUT);
	colon = strchr(path, ':');
	if (path[0] != '/' || (colon && !colon[1]))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"\"%s\" is not oci:DIR[:TAG] or docker-archive:FILE[:NAME:TAG] with an "
			"absolute path",
			ref);
	task->text = strdup(ref);
	task->path = strndup(path, colon ? (size_t)(colon - path) : strlen(path));
	task->tag = colon ? strdup(colon + 1) : NULL;
	if (!task->text || !task->path || (colon && !task->tag))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	while (strlen(task->path) > 1 && task->path[strlen(task->path) - 1] == '/')
		task->path[strlen(task->path) - 1] = '\0';
	return 0;
}

/* What "docker save -o dev.tar" wrote is dev. */
static int default_name(const struct disk_task *task, char **ret, struct bg_err **err)
{
	size_t len = strlen(task->path);
	bool tar = task->archive && len > 4 && bg_streq(task->path + len - 4, ".tar");
	_free_ char *path = strndup(task->path, tar ? len - 4 : len);

	if (!path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return image_default_name(path, ret, err);
}

static int enter(struct engine *engine, const struct image_pull_request *request,
	struct disk_task *task, struct bg_err **err)
{
	_free_ char *made = NULL;
	int r = parse(task, request->ref, err);

	if (r >= 0 && !request->name)
		r = default_name(task, &made, err);
	return r < 0 ? r
		     : image_task_enter(&task->base, engine, request->name ? request->name : made,
			       request->kernel, task->text, err);
}

int image_disk_pull(struct engine *engine, const struct image_pull_request *request,
	struct op **ret, struct bg_err **err)
{
	struct disk_task *task = calloc(1, sizeof(*task));
	int r;

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
