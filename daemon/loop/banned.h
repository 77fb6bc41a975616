/* SPDX-License-Identifier: ISC */
/*
 * banned.h: what the engine's loop must not call, because it waits for a disk, a name server or a clock. The build
 * puts it before every file of the engine (`banned` in meson.build), so that a call is an error of the compiler. What is to wait
 * is a worker's (common/job_table.def), another child's, or, before the loop runs, a file's outside of this list (daemon/vm/keys_make.c).
 *
 * What may be large goes into the trash (daemon/trash.h): trash_throw and trash_unlink take names, trash_close the last
 * descriptor of a file that has none. That close() itself cannot be banned: whoever holds a descriptor of a disk, an image, a kernel
 * or a layer over turns of the loop closes it there, and storage drivers and jobs by jobs_close. bg_unlink_small
 * and bg_grow_file say by their names what they are for.
 *
 * Not in here, for what they do elsewhere: open, rename, mkdir, rmdir, which wait only for a file system
 * that is stuck; waitid with WNOHANG.
 */
#ifndef BG_DAEMON_LOOP_BANNED_H
#define BG_DAEMON_LOOP_BANNED_H

/* Declared before they are poisoned. */
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"

#pragma GCC poison fsync fdatasync syncfs sync_file_range msync
#pragma GCC poison fallocate posix_fallocate ftruncate truncate
#pragma GCC poison unlink unlinkat
#pragma GCC poison copy_file_range sendfile readahead
#pragma GCC poison bg_write_file_at bg_cut_head
#pragma GCC poison getpwuid getpwnam getpwuid_r getpwnam_r getgrgid getgrnam getgrgid_r getgrnam_r \
	initgroups
#pragma GCC poison getaddrinfo getnameinfo gethostbyname gethostbyaddr
#pragma GCC poison system popen wait3 wait4
#pragma GCC poison sleep usleep nanosleep clock_nanosleep
#pragma GCC poison flock lockf

#endif
