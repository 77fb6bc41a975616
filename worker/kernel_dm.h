/* SPDX-License-Identifier: ISC */
/*
 * kernel_dm.h: whether a kernel without a module tree has dm-snapshot built in, which a VM's root on two disks needs
 * (guest/cow.h). It is seen by the name of that target's option, which stands in the unpacked kernel.
 */
#ifndef BG_WORKER_KERNEL_DM_H
#define BG_WORKER_KERNEL_DM_H

#include "worker/bzimage.h"
#include "worker/job.h"

/* fd: the image, readable. A kernel that cannot be unpacked has nothing that could be found. */
bool kernel_has_dm(struct job *job, int fd, enum kernel_format format);

#endif
