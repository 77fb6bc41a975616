/* SPDX-License-Identifier: ISC */
/*
 * usage.h: what a process and its disks use of this host, as /proc says it (proc(5)). Used by the daemon of its
 * VMMs. Does not block but for the look-up of the files, never logs.
 */
#ifndef BG_COMMON_USAGE_H
#define BG_COMMON_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct bg_usage {
	double cpu_s;	      /* user and system time since the process began */
	int64_t memory_bytes; /* resident */
	int64_t disk_bytes;   /* what the files take, holes left out */
	/* what it has had written to the host's disks; 0 where the host does not say */
	int64_t written_bytes;
};

/*
 * The same as memory_bytes, but what it shares with others counted by its share; the kernel walks all of the process's
 * pages for it, some ms for each GiB: not for a loop. 0: the host does not say.
 */
int64_t bg_usage_pss(pid_t pid);

/* files: ends with NULL; one that is not there takes nothing. -ESRCH: there is no such process. */
int bg_usage_read(pid_t pid, const char *const *files, struct bg_usage *ret);

#endif
