/* SPDX-License-Identifier: ISC */
/* asset.h: the few lines that kernels and images share: output files, real sizes, who uses what. */
#ifndef BG_DAEMON_ASSET_ASSET_H
#define BG_DAEMON_ASSET_ASSET_H

#include <jansson.h>

#include "common/err.h"

struct engine;
struct image_row;
struct op;
struct trash;

/* A new file dir/name for a worker to fill (0600, read-write); one that was left there goes. *ret_path is the caller's. */
int asset_output(struct trash *trash, const char *dir, const char *name, char **ret_path,
	int *ret_fd, struct bg_err **err);
/* Drops a file that the worker left empty: frees *path and removes it. */
void asset_drop_empty(char **path);
/* Bytes allocated on disk; 0 when it is missing. */
uint64_t asset_real_bytes(const char *path);
/* What is asked of those who use images and kernels; the VMs put it into the engine (daemon/vm/vm_users.h). */
struct asset_users {
	void (*names)(
		const struct engine *engine, const char *image, const char *kernel, json_t *out);
	/* May the file behind an image be another with the same bytes? */
	int (*check_base)(
		const struct engine *engine, const struct image_row *row, struct bg_err **err);
};

/* Names of the VMs with this image (or this kernel, when image is NULL) go to out. */
void asset_vms_using(
	const struct engine *engine, const char *image, const char *kernel, json_t *out);
/* "a, b and 3 more" of a json array of strings. The caller's; NULL when out of memory. */
char *asset_name_list(const json_t *names);
/* A source named by the user: opened for reading, a regular file, else an error of this code. */
int asset_open_source(const char *path, enum bg_err_code code, int *ret, struct bg_err **err);
/* A worker's progress as the operation's. */
void asset_show_progress(struct op *op, const json_t *progress);

#endif
