/* SPDX-License-Identifier: ISC */
/*
 * kernel.h: the kernels that VMs boot, each in <state>/kernels/<name>/: the boot image, the ELF
 * file out of it when it is a bzImage, the cpio of the modules it needs to find its disks, and a
 * disk with its whole module tree. Made by kernel import in a worker; never changed afterwards.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/store/store.h"

struct engine;
struct kernels;
struct op;

/* Loads the rows and removes what an interrupted import left. */
int kernels_new(struct engine *engine, struct kernels **ret, struct bg_err **err);
void kernels_free(struct kernels *kernels);
BG_DEFINE_UNREF(kernels, struct kernels *, kernels_free)

/* A complete kernel, borrowed; KERNEL_NOT_FOUND. */
int kernels_get(const struct kernels *kernels, const char *name, const struct kernel_row **ret, struct bg_err **err);
/* The path of its ELF file, for a VMM that boots no bzImage; the caller's. KERNEL_INVALID when it
 * has none. */
int kernel_elf(const struct kernel_row *row, char **ret, struct bg_err **err);
/* The name of the only kernel there is; NULL when there are none or several. */
const char *kernels_only(const struct kernels *kernels);
json_t *kernel_to_json(const struct kernels *kernels, const struct kernel_row *row);
/* {kernels: [...]} */
json_t *kernels_to_json(const struct kernels *kernels);

/* name NULL: from the file's name. path: absolute. */
int kernel_import(struct engine *engine, const char *name, const char *path, struct op **ret, struct bg_err **err);
int kernel_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err);

#endif
