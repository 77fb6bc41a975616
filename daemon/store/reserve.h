/* SPDX-License-Identifier: ISC */
/*
 * reserve.h: a file of a few MiB that is there to be removed: on a full disk what frees room must first write. It is unlinked and not cut,
 * as that works on every file system, over quota too.
 */
#ifndef BG_DAEMON_STORE_RESERVE_H
#define BG_DAEMON_STORE_RESERVE_H

#include "common/base.h"

#define RESERVE_FILE "store.reserve"

/* True when there was one: its room is free now. */
bool reserve_give_up(int state_dirfd);
/* Makes it when it is not there and much more than that is free. */
void reserve_make(int state_dirfd);

#endif
