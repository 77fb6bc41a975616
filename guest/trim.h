/* SPDX-License-Identifier: ISC */
/*
 * trim.h: the process beside the agent that may wait for a disk. It gives room that the guest has freed back to the host, a block
 * group at a time, soon after large deletions, else when the disk is quiet; and it notices when ext4 records an error.
 */
#ifndef BG_GUEST_TRIM_H
#define BG_GUEST_TRIM_H

#include "guest/conf.h"

/*
 * Forks it; it ends with the caller. Returns a descriptor that becomes readable, with one byte, when a file system has an
 * error recorded (also one of before), and ends when the process does; or -errno.
 */
int trim_start(const struct conf *conf);

#endif
