/* SPDX-License-Identifier: ISC */
/* grow.h: a mounted ext4 file system grows to the size of its device. */
#ifndef BANGER_GUEST_GROW_H
#define BANGER_GUEST_GROW_H

#include "common/base.h"

/* dev is the block device that is mounted at where. 0 also when there is nothing to do. */
int grow_ext4(const char *dev, const char *where);

#endif
