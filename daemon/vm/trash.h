/* SPDX-License-Identifier: ISC */
/*
 * trash.h: folders of deleted VMs, emptied a piece at a time: to unlink a disk of many GiB takes the file
 * system longer than a callback of the loop may. A folder that is in here has no VM any more. What a
 * crash leaves is emptied by the next daemon. Owned by the engine, fed by vm_erase.
 */
#ifndef TRASH_H
#define TRASH_H

#include "common/err.h"

struct loop;
struct trash;

/* dir: <state>/trash, made when it is needed; what lies in it is emptied from now on. */
int trash_new(struct loop *loop, const char *dir, struct trash **ret);
/* Leaves what is there for the next daemon. */
void trash_free(struct trash *trash);
BG_DEFINE_UNREF(trash, struct trash *, trash_free)

/* Takes the folder out of sight at once: 0 also when there is none. Where it cannot be moved it is removed on the spot. */
int trash_throw(struct trash *trash, const char *path);
bool trash_is_empty(const struct trash *trash);

#endif
