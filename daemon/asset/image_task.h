/* SPDX-License-Identifier: ISC */
/*
 * image_task.h: what every operation that makes an image has in common: the name, the job under way,
 * how it is taken back and what it tells at its end. A task struct starts with an image_task; its
 * step and plan functions then serve as they are.
 */
#ifndef BG_DAEMON_ASSET_IMAGE_TASK_H
#define BG_DAEMON_ASSET_IMAGE_TASK_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/store/store.h"

struct engine;
struct job;
struct op;

/* Default of a work seed made for an image. */
#define IMAGE_SEED_MIB 64

struct image_task {
	struct engine *engine;
	struct op *op;	 /* set by the step that runs */
	struct job *job; /* of the step that waits, or NULL */
	char *name;
};

/* -ENOMEM. */
int image_task_init(struct image_task *task, struct engine *engine, const char *name);
/* Frees what it has, not itself. */
void image_task_done(struct image_task *task);
/* The one that is being made: see images_propose for where another of its name is listed. */
struct image_row *image_task_row(const struct image_task *task);
/* The end of a step that waited; err is taken. The job goes. */
void image_task_end_step(struct image_task *task, struct bg_err *err);
/* Opens <image>/rootfs.ext4 and work-seed.ext4 as outputs and notes their paths in the row; the fds are the caller's. */
int image_task_outputs(
	struct image_task *task, int *ret_rootfs, int *ret_seed, struct bg_err **err);
/* For job_start: what the worker has done goes to the operation; userdata starts with an image_task. */
void image_task_progress(const json_t *progress, void *userdata);
/* What the result of unpack or flatten says about the root file system goes to the row. */
void image_task_take_rootfs(struct image_task *task, const json_t *result);
/* The same of resolve, layout or archive about the environment of its commands. */
int image_task_take_env(struct image_task *task, const json_t *result, struct bg_err **err);
/*
 * A step that makes root file system and seed of n layers (fds borrowed, bottom to top). params: those of the flatten
 * job about the layers; taken.
 */
int image_task_flatten(struct image_task *task, uint64_t size_mib, json_t *params,
	const int *layers, size_t n, struct bg_err **err);

/* For struct op_step and struct op_plan: ctx is the task. */
void image_task_cancel(struct op *op, void *ctx);
int image_task_undo(struct op *op, void *ctx, struct bg_err **err);
/* A step: is the root file system that others made a whole one, and what is in it? */
int image_task_look(struct op *op, void *ctx, struct bg_err **err);
/* The last two steps: the image's files are kept by content (content_store.h); it is listed. */
int image_task_keep(struct op *op, void *ctx, struct bg_err **err);
int image_task_list(struct op *op, void *ctx, struct bg_err **err);
void image_task_finish(struct op *op, void *ctx, const struct bg_err *err);

/* wanted, or the only kernel there is when it is NULL: borrowed. flag is how the command names one. */
int image_pick_kernel(struct engine *engine, const char *name, const char *wanted, const char *flag,
	const char **ret, struct bg_err **err);
/* The last word of a path, as far as it can be a name: the caller's. */
int image_default_name(const char *path, char **ret, struct bg_err **err);
/* Enters a managed image that is being made. */
int image_insert(struct engine *engine, const char *name, const char *kernel, bool owns_kernel,
	const char *source, struct bg_err **err);
/* All that a pull begins with: the name, which may still be anything, the kernel (image_pick_kernel), the entry. */
int image_task_enter(struct image_task *task, struct engine *engine, const char *name,
	const char *kernel, const char *source, struct bg_err **err);

#endif
