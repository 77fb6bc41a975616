/* SPDX-License-Identifier: ISC */
/*
 * fd.h: whole reads and writes, small files, atomic replacement. Leaf code:
 * returns -errno, never logs, allocates only what it hands out.
 */
#ifndef BG_COMMON_FD_H
#define BG_COMMON_FD_H

#include <sys/types.h>

#include "common/base.h"

/* Writes all of buf, restarting after EINTR. 0 or -errno. Blocks as fd does. */
int bg_write_all(int fd, const void *buf, size_t len);
/* Reads exactly len bytes; -EPIPE at an early end. */
int bg_read_exact(int fd, void *buf, size_t len);
/* Reads a file of at most max bytes; *ret is NUL-terminated and the caller's; -EFBIG beyond. */
int bg_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len);
/* As above for an open fd, from its current offset to its end. */
int bg_read_fd(int fd, size_t max, char **ret, size_t *ret_len);
/* The same without fsync, for who must not wait for a disk: after a power cut it may be the old file, or an empty one. */
int bg_put_file_at(int dirfd, const char *path, const void *buf, size_t len, mode_t mode);
/* Puts a new file with this content and mode in place, by rename, after fsync. */
int bg_write_file_at(int dirfd, const char *path, const void *buf, size_t len, mode_t mode);
/* mkdir -p for an absolute path; each made directory gets mode. */
int bg_mkdir_p(const char *path, mode_t mode);
/*
 * Removes a name; a missing one is success. What engine files unlink themselves (daemon/loop/banned.h): sockets, links, small
 * files, and what somebody still has open. For a file that may be large there is trash_unlink (daemon/trash.h).
 */
int bg_unlink_small(int dirfd, const char *name);
int bg_rmdir_at(int dirfd, const char *name);
/* Makes a file longer by a hole; never shorter (-EINVAL), which would wait for the disk. */
int bg_grow_file(int fd, uint64_t size);
/* Calls fn for each entry of a folder but "." and ".."; the first error ends it. fd is taken. */
int bg_dir_each(int fd, int (*fn)(int dirfd, const char *name, void *userdata), void *userdata);
/* Removes a tree below dirfd without following links; a missing one is success. */
int bg_rm_rf_at(int dirfd, const char *name);
/*
 * Call it first in every program: descriptors 0 to 2 that the caller closed become /dev/null, so that no
 * file or socket that is opened later is taken for one of them.
 */
int bg_std_fds(void);
/*
 * The blocks of a file's first bytes go, offsets stay; where the file system cannot make holes the whole file is emptied:
 * whoever appends goes on at the new end. May wait for the disk.
 */
int bg_cut_head(int fd, uint64_t bytes);
int bg_set_cloexec(int fd, bool on);
int bg_set_nonblock(int fd, bool on);

#endif
