/* SPDX-License-Identifier: ISC */
/*
 * kernel.h: the kernels that VMs boot: the boot image, the ELF file out of it when it is a bzImage,
 * the cpio of the modules it needs to find its disks, and a disk with its whole module tree; an
 * initrd of the user's comes before banger's own. Made by a worker (kernel_make.h) in
 * <state>/kernels/<name>/; the files are then kept by content (content_store.h) and never changed.
 */
#ifndef BG_DAEMON_ASSET_KERNEL_H
#define BG_DAEMON_ASSET_KERNEL_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/asset/content_store.h"
#include "daemon/store/store.h"

struct engine;
struct kernels;
struct op;

/* Loads the rows and removes what an interrupted import left. */
int kernels_new(struct engine *engine, struct kernels **ret, struct bg_err **err);
void kernels_free(struct kernels *kernels);
BG_DEFINE_UNREF(kernels, struct kernels *, kernels_free)

/* A complete kernel, borrowed; KERNEL_NOT_FOUND. */
int kernels_get(const struct kernels *kernels, const char *name, const struct kernel_row **ret,
	struct bg_err **err);
/* The path of its ELF file, for a VMM that boots no bzImage; the caller's. KERNEL_INVALID when it
 * has none. */
int kernel_elf(const struct kernel_row *row, char **ret, struct bg_err **err);
/* The name of the only kernel there is; NULL when there are none or several. */
const char *kernels_only(const struct kernels *kernels);
/* Names of those whose guests cannot join disks (storage guest-cow) go to out, a json array. */
void kernels_without_cow(const struct kernels *kernels, json_t *out);
json_t *kernel_to_json(const struct kernels *kernels, const struct kernel_row *row);
/* {kernels: [...]} */
json_t *kernels_to_json(const struct kernels *kernels);

/* What a kernel is made of: absolute paths. modules and initrd may be NULL. */
struct kernel_files {
	const char *kernel;  /* a package, a bzImage or a vmlinux */
	const char *modules; /* more modules: a package or a tar with lib/modules/ */
	const char *initrd;  /* unpacked before banger's own initramfs */
};
/* name NULL: from the kernel file's name. replace: one of this name, if there is one; its images and VMs have the new one. */
int kernel_import(struct engine *engine, const char *name, const struct kernel_files *files,
	bool replace, struct op **ret, struct bg_err **err);
/* wanted: what a catalog calls it. name NULL: the same. */
int kernel_pull(struct engine *engine, const char *wanted, const char *name, struct op **ret,
	struct bg_err **err);
int kernel_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err);

/* For those who make kernels: the list. row is taken, also on failure. */
int kernels_add(struct kernels *kernels, struct kernel_row *row, struct bg_err **err);
/* Posts it as complete, or as one that is made or removed: op_commit says when it is so. */
void kernels_set_ready(struct kernels *kernels, struct kernel_row *row, bool ready);
/* Tells followers that it is there. */
void kernels_tell(struct kernels *kernels, const struct kernel_row *row);
/* One that is to replace the listed one of its name: as images_propose and what follows it. */
void kernels_propose(struct kernels *kernels, struct kernel_row *row);
void kernels_swap(struct kernels *kernels, const char *name);
void kernels_withdraw(struct kernels *kernels, const char *name);
struct kernel_row *kernels_find_other(const struct kernels *kernels, const char *name);
/* Row, directory and entry. */
int kernels_drop(struct kernels *kernels, const char *name, struct bg_err **err);
struct kernel_row *kernels_find(const struct kernels *kernels, const char *name);
int kernels_check_free(const struct kernels *kernels, const char *name, struct bg_err **err);
/* Makes <state>/kernels/<name>; *ret is its path. */
int kernels_make_dir(
	const struct kernels *kernels, const char *name, char **ret, struct bg_err **err);
/* Where a row has the paths of its files; how many. */
size_t kernel_row_files(struct kernel_row *row, char **ret[CONTENT_FILES_MAX]);
/* How many kernels, ready or not, name the file with this path. */
unsigned kernels_naming(const struct kernels *kernels, const char *path);

#endif
