/* SPDX-License-Identifier: ISC */
/*
 * proc.h: what /proc says of a process to everybody, also of one that is not dumpable (then its folder is root's and its
 * descriptors are hidden). All of it is history when it is read: hold a pidfd first where that matters.
 */
#ifndef BG_COMMON_PROC_H
#define BG_COMMON_PROC_H

#include <sys/types.h>

#include "common/base.h"

/* At most max bytes of /proc/PID/file; the caller's. */
int bg_proc_read(pid_t pid, const char *file, size_t max, char **ret, size_t *ret_len);
/* Is there a process with this number and this name, and no zombie? */
bool bg_proc_is_called(pid_t pid, const char *comm);
/* Does its real uid equal ours? */
bool bg_proc_is_ours(pid_t pid);
/* 0 when it is gone. */
pid_t bg_proc_parent(pid_t pid);
/* The letter of /proc/PID/stat: D waits for a disk and cannot be killed, T is stopped; 0 when it is gone. */
char bg_proc_state(pid_t pid);
/* Comes once for each process until it returns a value that is not 0, which is returned. -errno when /proc cannot be read. */
int bg_proc_each(int (*fn)(pid_t pid, void *userdata), void *userdata);

#endif
