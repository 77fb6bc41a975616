/* SPDX-License-Identifier: ISC */
/*
 * image.h: the images that VMs are made from: a root file system, a work seed (cloned for /root) and the
 * kernel they boot with. The files of managed ones are kept by content (content_store.h) and never changed; registered ones
 * stay where the user has them, only their work seed is ours. <state>/images/<name>/ is where one is made.
 */
#ifndef BG_DAEMON_ASSET_IMAGE_H
#define BG_DAEMON_ASSET_IMAGE_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/asset/kernel.h"
#include "daemon/store/store.h"

struct engine;
struct images;
struct op;
struct vm;

/* Their files there, until they are kept. */
#define IMAGE_ROOTFS "rootfs.ext4"
#define IMAGE_SEED   "work-seed.ext4"

int images_new(struct engine *engine, struct images **ret, struct bg_err **err);
void images_free(struct images *images);
BG_DEFINE_UNREF(images, struct images *, images_free)

/* A complete image, borrowed; IMAGE_NOT_FOUND. */
int images_get(const struct images *images, const char *name, const struct image_row **ret,
	struct bg_err **err);
/* The one that is complete when there is just one; else NULL. Borrowed. */
const struct image_row *images_only(const struct images *images);
/* All, ready or not: the first after NULL. */
const struct image_row *images_next(const struct images *images, const struct image_row *row);
/* Names of images with this kernel go to out (json array of strings). */
void images_using_kernel(const struct images *images, const char *kernel, json_t *out);
json_t *image_to_json(const struct images *images, const struct image_row *row);
/* The environment of a container image: what a worker, who may be hostile, says becomes the row's. -errno. */
int image_take_env(struct image_row *row, const json_t *list);
/* The row's as a new list, NULL when there is none. */
json_t *image_env(const struct image_row *row);
/* {images: [...]} */
json_t *images_to_json(const struct images *images);

/* NULL, 0 where the default is wanted. packages: come on top of those that every image has. */
struct image_build_request {
	const char *name;
	const char *kernel; /* NULL: the only kernel there is */
	const char *suite;
	const char *mirror;
	const char *packages[BG_IMAGE_PACKAGES_MAX];
	unsigned n_packages;
	uint64_t size_mib;
	bool minimal; /* without the tools that one works with */
};
int image_build(struct engine *engine, const struct image_build_request *request, struct op **ret,
	struct bg_err **err);

/*
 * rootfs: absolute. kernel: a name, or NULL. files.kernel: NULL, or what becomes a kernel of the image's own, with
 * the image's name.
 */
struct image_register_request {
	const char *name;
	const char *rootfs;
	const char *kernel;
	struct kernel_files files;
	bool replace; /* what was registered under this name, if no VM uses it */
};
int image_register(struct engine *engine, const struct image_register_request *request,
	struct op **ret, struct bg_err **err);

/* ref: as oci_ref.h has it. */
struct image_pull_request {
	const char *ref;
	const char *name;   /* NULL: after the ref */
	const char *kernel; /* NULL: the only kernel there is */
	uint64_t size_mib;  /* 0: content and some room */
};
int image_pull(struct engine *engine, const struct image_pull_request *request, struct op **ret,
	struct bg_err **err);
/* Copies a registered image's root file system to the managed ones. */
int image_promote(struct engine *engine, const char *name, struct op **ret, struct bg_err **err);

int image_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err);

/* How many images, ready or not, name the file with this path. */
unsigned images_naming(const struct images *images, const char *path);

/* For image_build.c and image_register.c: the list. row is taken, also on failure. */
int images_add(struct images *images, struct image_row *row, struct bg_err **err);
/* Posts it as complete: op_commit says when it is so. */
void images_complete(struct images *images, struct image_row *row);
/* Tells followers that it is there, or has changed. */
void images_tell(struct images *images, const struct image_row *row);
/*
 * One that is to replace the listed one of its name (asset_table_propose has the rules): row is taken; swap posts the one that is listed
 * then as complete.
 */
void images_propose(struct images *images, struct image_row *row);
void images_swap(struct images *images, const char *name);
void images_withdraw(struct images *images, const char *name);
struct image_row *images_find_other(const struct images *images, const char *name);
/* IMAGE_IN_USE while there is such a one. */
int images_check_settled(const struct images *images, const char *name, struct bg_err **err);
/* The kernel that came with it, if nothing else needs that; else NULL. */
struct kernel_row *images_own_kernel(const struct images *images, const struct image_row *row);
/* Row, directory and entry; also the kernel that came with it, unless others use that. */
int images_drop(struct images *images, const char *name, struct bg_err **err);
struct image_row *images_find(const struct images *images, const char *name);
/* Raw output of the image's last build, outside its directory: it outlives a build that failed. The caller's. */
char *image_build_log(const struct engine *engine, const char *name);
/* Makes <state>/images/<name>; *ret is its path. */
int images_make_dir(const struct images *images, const char *name, char **ret, struct bg_err **err);
/* IMAGE_NAME_TAKEN when there is one, or one is being made. */
int images_check_free(const struct images *images, const char *name, struct bg_err **err);

/* Removes seeds of images that are gone (seed.h). */
void images_prune_seeds(const struct images *images);

#endif
