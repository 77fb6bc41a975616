/* SPDX-License-Identifier: ISC */
/*
 * bzimage.h: what the head of a kernel file says. Offsets are those of the x86 boot protocol
 * (Documentation/arch/x86/boot.rst of Linux).
 */
#ifndef BG_WORKER_BZIMAGE_H
#define BG_WORKER_BZIMAGE_H

#include "common/base.h"

#define KERNEL_HEAD	   (64 * 1024) /* bytes to look at: the version string lies within */
#define KERNEL_RELEASE_MAX 64

enum kernel_format { KERNEL_NONE, KERNEL_BZIMAGE, KERNEL_ELF, KERNEL_DEB, KERNEL_RPM };

enum kernel_format kernel_format(const uint8_t *head, size_t len);
/* "6.1.0-9-amd64"; -ENOENT when the image does not say, -EINVAL for a name that is not a release. */
int bzimage_release(const uint8_t *head, size_t len, char ret[static KERNEL_RELEASE_MAX]);
/* Where the compressed vmlinux lies in the file; -EINVAL. */
int bzimage_payload(const uint8_t *head, size_t len, uint64_t *offset, uint64_t *size);
/*
 * A whole kernel of size bytes, as far as its head says; why points to what is wrong: -EINVAL. A
 * vmlinux is a program without an interpreter whose segments lie in the file; what distinguishes it
 * from any other such program is the banner in it, which the caller looks for.
 */
int bzimage_check(const uint8_t *head, size_t len, uint64_t size, const char **why);
int vmlinux_check(const uint8_t *head, size_t len, uint64_t size, const char **why);
/* A 64-bit x86 executable? */
bool elf_is_x86_64(const uint8_t *head, size_t len);
/* Copies a release name that ends at a space or the end; only characters releases have. */
int kernel_release_copy(const char *p, size_t len, char ret[static KERNEL_RELEASE_MAX]);

#endif
