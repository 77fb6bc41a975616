/* SPDX-License-Identifier: ISC */
/*
 * initrd.h: the initramfs of one start of one VM: banger-init, the kernel's modules
 * and this VM's settings (common/guest_conf.h), as archives behind each other. Called
 * by the start operation; owns nothing. The file holds a private key: the caller opens
 * it with mode 0600.
 */
#ifndef BG_DAEMON_VM_INITRD_H
#define BG_DAEMON_VM_INITRD_H

#include "common/err.h"
#include "common/initrd.h"

/* The keys of vm.conf; NULL leaves an optional one out. All strings are borrowed. */
struct guest_conf {
	const char *id; /* 32 hex digits */
	const char *hostname;
	const char *root; /* "vda"; NULL with base */
	const char *base; /* optional, and then the next three too */
	const char *own;
	uint64_t store;		     /* sectors; 0 leaves it out */
	unsigned chunk;		     /* sectors; 0 leaves it out */
	const char *work;	     /* optional */
	const char *modules;	     /* optional */
	const char *addr;	     /* optional, dotted */
	const char *gateway;	     /* optional */
	const char *mac;	     /* optional */
	const char *dns;	     /* optional */
	const char *agent;	     /* "virtio" or "vsock" */
	const char *poweroff;	     /* optional: "off" or "reset" */
	const char *setup;	     /* optional: "ssh" or "init" */
	int64_t time;		     /* 0 leaves it out */
	const char *host_key;	     /* optional: private key file, whole text */
	const char *authorized_keys; /* optional: whole text */
};

/* The text of vm.conf; *ret is the caller's. -EINVAL for a value with a line end in it. */
int initrd_conf_text(const struct guest_conf *conf, char **ret, struct bg_err **err);
/* The archive with this VM's settings and keys, in memory alone; *ret is the caller's. */
int initrd_settings(const struct guest_conf *conf, int *ret, struct bg_err **err);
/* Whether the parts (without the settings) are small, and all in the page cache: then the loop may write it itself. */
bool initrd_is_quick(const struct bg_initrd *from);
/*
 * Writes the whole initramfs to out_fd, an empty file. init_fd is banger-init;
 * first_fd an initrd of the user's or -1: the kernel
 * unpacks it first, so that ours wins; modules_cpio_fd the kernel's archive or -1. Offsets are not used. Blocks for
 * the time of a copy of a few MiB inside the page cache.
 */
int initrd_write(int out_fd, int first_fd, int init_fd, int modules_cpio_fd,
	const struct guest_conf *conf, struct bg_err **err);

#endif
