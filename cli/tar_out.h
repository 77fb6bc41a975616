/* SPDX-License-Identifier: ISC */
/*
 * tar_out.h: writes a tar archive that GNU tar and busybox both unpack: ustar heads, with GNU's
 * long names and sizes where those are too small. All owners are root, all times 0. Format: GNU
 * tar's manual, "Basic Tar Format".
 */
#ifndef BG_CLI_TAR_OUT_H
#define BG_CLI_TAR_OUT_H

#include "common/base.h"

struct tar_out {
	int fd;	       /* borrowed */
	uint64_t size; /* bytes written, those still in buffer too */
	size_t held;
	uint8_t *buffer;
};

/* 0 or -errno, as all below. tar_out_done releases it, also after a failure. */
int tar_out_init(struct tar_out *t, int fd);
void tar_out_done(struct tar_out *t);
/* Names are any bytes, without a leading '/'. */
int tar_out_dir(struct tar_out *t, const char *name, uint32_t mode);
int tar_out_link(struct tar_out *t, const char *name, const char *target);
int tar_out_memory(
	struct tar_out *t, const char *name, uint32_t mode, const void *data, size_t len);
/*
 * size bytes of fd from its beginning, holes as such; hex (may be NULL) gets their SHA-256. -ESTALE: it has
 * fewer bytes by now.
 */
int tar_out_file(
	struct tar_out *t, const char *name, uint32_t mode, int fd, uint64_t size, char *hex);
/* The two empty blocks, and whatever is held. */
int tar_out_end(struct tar_out *t);

#endif
