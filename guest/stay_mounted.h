/* SPDX-License-Identifier: ISC */
/*
 * stay_mounted.h: tells systemd, before it starts, that a mount of ours is not its own to take away when the guest goes
 * down: processes that systemd ends later still have files of it open, and it would say that it failed. Written
 * to /run alone, which is gone with the boot. Where the init is another one this does nothing.
 */
#ifndef BG_GUEST_STAY_MOUNTED_H
#define BG_GUEST_STAY_MOUNTED_H

#include <stddef.h>

/* 0 or -errno; what fails leaves the guest with one more line on its console. */
int stay_mounted(const char *dir);
/* The name of a path's mount unit, as systemd-escape(1) makes it; pure. -ENAMETOOLONG. */
int stay_mounted_unit(const char *path, char *out, size_t size);

#endif
