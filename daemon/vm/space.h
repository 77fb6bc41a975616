/* SPDX-License-Identifier: ISC */
/*
 * space.h: the watch over free space. A write that finds the host's disk full destroys a dm-snapshot for
 * good (security.md), and leaves any other guest with I/O errors, so VMs are paused before it comes to that, and go on
 * when there is room again; those that write much first, so that a storm in one disturbs no other. With much room and
 * slow writers it looks seldom (space_pace.h), without VMs not at all. Owned by the engine; acts on VMs through their VMM's
 * pause and resume.
 */
#ifndef BG_DAEMON_VM_SPACE_H
#define BG_DAEMON_VM_SPACE_H

#include "common/err.h"

struct engine;
struct space;
struct vm;

int space_new(struct engine *engine, struct space **ret, struct bg_err **err);
void space_free(struct space *space);
BG_DEFINE_UNREF(space, struct space *, space_free)
/* A VMM begins: the room is looked at within a quarter of a second. NULL is fine. */
void space_soon(struct space *space);

#endif
