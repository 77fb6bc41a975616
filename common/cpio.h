/* SPDX-License-Identifier: ISC */
/*
 * cpio.h: writes newc archives, the format of an initramfs. The kernel unpacks archives
 * that follow each other; each starts at a multiple of 4 bytes. Format: the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst. All owners are root, all
 * times 0, so that the same input gives the same bytes.
 */
#ifndef BG_COMMON_CPIO_H
#define BG_COMMON_CPIO_H

#include <sys/types.h>

#include "common/base.h"

struct bg_cpio {
	int fd;	       /* borrowed; written at its offset, from a multiple of 4 */
	uint64_t size; /* bytes written so far by all calls */
	uint32_t ino;
};

void bg_cpio_init(struct bg_cpio *c, int fd);
/* Paths are without a leading '/'; parents come before their children. 0 or -errno. */
int bg_cpio_dir(struct bg_cpio *c, const char *path, mode_t mode);
int bg_cpio_file(struct bg_cpio *c, const char *path, mode_t mode, const void *buf, size_t len);
/* The whole of src_fd, a regular file, whatever its offset; copied inside the kernel. */
int bg_cpio_file_fd(struct bg_cpio *c, const char *path, mode_t mode, int src_fd);
/* Ends one archive: trailer, then zeros to a multiple of 512. Another may follow. */
int bg_cpio_end(struct bg_cpio *c);
/* A whole archive that is in a file already, then zeros to a multiple of 512. */
int bg_cpio_append(struct bg_cpio *c, int archive_fd);

#endif
