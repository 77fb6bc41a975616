/* SPDX-License-Identifier: ISC */
/*
 * logfile.h: logs whose length a guest decides, kept within bounds. A VMM appends to its log all its
 * life and is not asked to open another, so what is old is punched out of the file's head: offsets stay,
 * its blocks go. Used by the watch over consoles (daemon/vm/console.c) and by whoever reads such a log.
 */
#ifndef BG_DAEMON_LOGFILE_H
#define BG_DAEMON_LOGFILE_H

#include <stdint.h>

/*
 * 1: the file takes more than max bytes of the disk, and its first *ret_cut bytes are to go (bg_cut_head, by a worker: JOB_CUT),
 * so that keep are left; *ret_fd is the caller's. 0: it is short enough, or not there.
 */
int logfile_too_long(const char *path, uint64_t max, uint64_t keep, int *ret_fd, uint64_t *ret_cut);
/* Moves a reader that stands in the hole to the first whole line after it. */
void logfile_skip_hole(int fd);

#endif
