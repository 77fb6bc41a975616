/* SPDX-License-Identifier: ISC */
/* grow.h: a mounted ext4 file system grows to the size of its device. */
#ifndef BG_GUEST_GROW_H
#define BG_GUEST_GROW_H

#include "common/base.h"

/* dev is the block device that is mounted at where. 0 also when there is nothing to do. */
int grow_ext4(const char *dev, const char *where);

/*
 * For disks that grow under a running guest (BG_AGENT_K_GROW): waits until each disk has the size that is
 * said, then grows what is mounted from it, or from the device that it is the own part of (guest/cow.h). An exit status: 0, or 1 with the reason on stderr.
 */
int grow_live(const char *const *argv);

#endif
