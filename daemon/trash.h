/* SPDX-License-Identifier: ISC */
/*
 * trash.h: what was deleted and is only to be given back to the file system: folders of VMs, files of
 * images, layers. A rename into one of the trash's folders is the deletion; the unlinking, which takes a file system
 * seconds for a disk of many GiB, is a worker's, outside of the loop. What a crash leaves is emptied by the next daemon:
 * to lie in such a folder is the decision. Owned by the engine, fed by whoever deletes.
 */
#ifndef BG_DAEMON_TRASH_H
#define BG_DAEMON_TRASH_H

#include "common/err.h"

struct jobs;
struct loop;
struct trash;

/* One for each file system that things to delete may lie on: a rename does not leave it. */
#define TRASH_DIRS_MAX 2

/*
 * dirs: absolute, made when they are needed; what lies in them is emptied from now on. worker_path and worker_log as for
 * jobs_new: the trash has a queue of its own, so that it waits for no other job and none for it.
 */
int trash_new(struct loop *loop, const char *worker_path, int worker_log, const char *const *dirs,
	size_t n, struct trash **ret, struct bg_err **err);
/* Leaves what is there for the next daemon. */
void trash_free(struct trash *trash);
BG_DEFINE_UNREF(trash, struct trash *, trash_free)

/*
 * Takes a file or a folder out of sight at once: 0 also when there is none. A file that cannot be moved (another file
 * system, no room) loses its name, and its blocks in the worker; so do those in a folder then. Nothing is flushed.
 */
int trash_throw(struct trash *trash, const char *path);
/* As unlink, of a file that may be large: such a one is thrown. Nothing to do when there is none. */
void trash_unlink(struct trash *trash, const char *path);
/*
 * The engine's way to close what may be large. That waits for the disk when the file has lost its name meanwhile and no one else
 * has it: then a worker closes it, else it is done on the spot. fd is taken; below 0 it is none.
 */
void trash_close(struct trash *trash, int fd);
/* So that jobs, and the storage drivers that work with them, leave what is large to this trash. It outlives them or jobs_free comes first. */
void trash_serve(struct trash *trash, struct jobs *jobs);
/* Somebody else has moved something into one of the folders. */
void trash_kick(struct trash *trash);
/* Nothing is left to do, or what is left cannot be done now and is tried again later. */
bool trash_is_empty(const struct trash *trash);

#endif
