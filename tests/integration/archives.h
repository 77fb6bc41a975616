/* SPDX-License-Identifier: ISC */
/* archives.h: builds the archives that the worker tests feed in, good ones and hostile ones. */
#ifndef BG_TESTS_INTEGRATION_ARCHIVES_H
#define BG_TESTS_INTEGRATION_ARCHIVES_H

#include <archive.h>
#include <archive_entry.h>
#include <stddef.h>
#include <stdint.h>

/* A tar (pax) into fd, compressed by the filter with this libarchive code. */
struct archive *tar_begin(int fd, int filter);
/* The same as cpio (newc). */
struct archive *cpio_begin(int fd, int filter);
void tar_add(struct archive *a, const char *name, unsigned type, unsigned mode, const char *data);
void tar_link(struct archive *a, const char *name, const char *target, int hard);
void tar_end(struct archive *a, int fd);

/* A bzImage that says this release; its payload is `payload`. Returns its size. */
size_t make_bzimage(
	uint8_t *out, size_t room, const char *release, const void *payload, size_t len);
/* A module: a 64-bit ELF file with nothing but .modinfo. Returns its size. */
size_t make_module(uint8_t *out, size_t room, const char *info, size_t info_len);
/* A Debian package around data.tar, into fd. */
void make_deb(int fd, const char *tar_name, const void *tar, size_t len);

/* An RPM package, its headers empty, around a packed cpio, into fd. */
void make_rpm(int fd, const void *cpio, size_t len);

#endif
