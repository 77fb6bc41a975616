/* SPDX-License-Identifier: ISC */
/*
 * mounts.h: file systems of the guest, from the initramfs to the image's root. Called
 * by init.c in the order below. Knows no settings but what it is handed.
 */
#ifndef BG_GUEST_MOUNTS_H
#define BG_GUEST_MOUNTS_H

#include "common/err.h"

/* proc, sys and dev in the initramfs; a place that is mounted already is left. */
int mounts_early(struct bg_err **err);
/* Listens for new devices; call before the drivers are loaded. The fd is the caller's. */
int mounts_watch_devices(void);
/* Waits for the next such event, at most timeout_ms. */
void mounts_wait_event(int watch_fd, unsigned timeout_ms);
/* Waits until /dev/<name> is there, woken by the kernel's events on watch_fd; -ETIMEDOUT. */
int mounts_wait_device(int watch_fd, const char *name, unsigned timeout_ms, struct bg_err **err);
/* Mounts ext4 /dev/<name> at where (made when missing) and grows it to its device. */
int mounts_disk(const char *name, const char *where, struct bg_err **err);
/*
 * Makes new_root the root: moves proc, sys and dev into it, removes what is in the
 * initramfs (its memory comes back), and enters. There is no way back after a failure.
 */
int mounts_switch_root(const char *new_root, struct bg_err **err);
/*
 * In the image's root: shows /dev/<name>'s "<release>/" at /lib/modules/<release>,
 * read-only. *ret_shown is false when the image has that release itself.
 */
int mounts_module_tree(const char *name, const char *release, bool *ret_shown, struct bg_err **err);
/* What a plain init owes an image that has none: /run, /dev/pts, /dev/shm, cgroup2. */
void mounts_no_init(void);
/* Syncs, unmounts what it can and makes the rest read-only. For the end of the machine. */
void mounts_end(void);

#endif
