/* SPDX-License-Identifier: ISC */
/*
 * content_store.h: the files that images and kernels are made of, each content once: <state>/blobs/HEX, read-only, HEX being
 * the digest of what is in it (worker/blob.h). Rows name them by path, several rows the same one, and that is the only count
 * there is: a file that no row names any more goes. What a crash leaves is found by that too, at the next start.
 *
 * Not hard links, though they would count themselves: the disk helper takes no base that has a second name.
 */
#ifndef BG_DAEMON_ASSET_CONTENT_STORE_H
#define BG_DAEMON_ASSET_CONTENT_STORE_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/job/job.h"

struct engine;

/* The most files that one row names. */
#define CONTENT_FILES_MAX 5

/*
 * A worker reads the files behind these n paths; done as for job_start, and its result is for content_store_take. Nobody may write
 * to them any more. A NULL, and what is kept already, is passed over.
 */
int content_store_look(struct engine *engine, char **const *paths, size_t n,
	job_progress_fn progress, job_done_fn done, void *userdata, struct job **ret,
	struct bg_err **err);
/*
 * Afterwards: each becomes a kept one, or is removed where its content is kept already; *paths[i] is changed to that. The
 * folder that they were in goes when it is empty. Before the caller is back in the loop a row has to name them.
 */
int content_store_take(struct engine *engine, char **const *paths, size_t n, const json_t *result,
	struct bg_err **err);

/* Removes a kept file unless a row names it; any other path is left alone. */
void content_store_drop(const struct engine *engine, const char *path);
/* Files that no row names: how many, and their bytes on disk. They stay until somebody asks for their removal. */
void content_store_unused(const struct engine *engine, unsigned *ret_n, uint64_t *ret_bytes);
/* Removes them; their number and bytes come on top of what is there. */
void content_store_prune(const struct engine *engine, unsigned *n, uint64_t *bytes);
/* Bytes on disk of those of these files that other rows have too. */
uint64_t content_store_shared_bytes(
	const struct engine *engine, char *const *const *paths, size_t n);

#endif
