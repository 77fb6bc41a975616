/* SPDX-License-Identifier: ISC */
/*
 * logfile.h: logs whose length a guest decides, kept within bounds. A VMM appends to its log all its
 * life and is not asked to open another, so what is old is punched out of the file's head: offsets stay,
 * its blocks go. Used by the watch over consoles (daemon/vm/console.c) and by whoever reads such a log.
 */
#ifndef LOGFILE_H
#define LOGFILE_H

#include <stdint.h>

/*
 * When the file takes more than max bytes of the disk, all but its last keep bytes go. 1: something went;
 * 0: it is short enough, or not there. Where the file system cannot make holes, everything goes.
 */
int logfile_bound(const char *path, uint64_t max, uint64_t keep);
/* Moves a reader that stands in the hole to the first whole line after it. */
void logfile_skip_hole(int fd);

#endif
