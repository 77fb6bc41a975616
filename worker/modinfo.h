/* SPDX-License-Identifier: ISC */
/* modinfo.h: the .modinfo section of a kernel module, out of foreign bytes. */
#ifndef BG_WORKER_MODINFO_H
#define BG_WORKER_MODINFO_H

#include "common/base.h"

/*
 * Finds the section in a whole 64-bit little-endian ELF file. *ret points into elf: "key=value"
 * strings, each ended by NUL, the last byte of *ret_len is NUL. -ENOEXEC when this is no such ELF
 * file, -ENOENT when it has no such section.
 */
int modinfo_find(const void *elf, size_t len, const char **ret, size_t *ret_len);
/*
 * Walks the strings: returns the value of the next one whose key is `key`, NULL at the end.
 * *at starts as NULL.
 */
const char *modinfo_next(const char *info, size_t len, const char *key, const char **at);
/* The module name in the kernel's spelling: last path component, without suffix, '-' as '_'. */
int modinfo_name(const char *path, char *ret, size_t size);

#endif
