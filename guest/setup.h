/* SPDX-License-Identifier: ISC */
/*
 * setup.h: what a container image lacks to be a machine, brought in at its first boot by
 * the image's own package manager: an ssh server and, when asked for, an init. Called by
 * PID 1 in a child of its own; the packages, and nothing else, change the image.
 */
#ifndef BG_GUEST_SETUP_H
#define BG_GUEST_SETUP_H

#include "common/base.h"

enum setup_wish { SETUP_NOTHING, SETUP_SSH, SETUP_INIT /* and ssh */ };

struct setup_family;

/*
 * Pure: the row that fits this text of os-release, by ID, else by the words of ID_LIKE in
 * their order. have(tool) says whether the image has a package manager; NULL when none fits.
 */
const struct setup_family *setup_find(const char *os_release, bool (*have)(const char *tool));
/* Reads /etc/os-release or /usr/lib/os-release of the root it runs in. */
const struct setup_family *setup_of_image(void);
/* Path of the row's package manager. */
const char *setup_tool(const struct setup_family *family);
/* Installs, with output on the console; minutes. True when every command ended well. */
bool setup_run(const struct setup_family *family, enum setup_wish wish);

/*
 * False for an init that would only complain: busybox's, in an image whose inittab wants
 * an OpenRC that is not there. Pure: inittab is its text or NULL.
 */
bool setup_init_fits(const char *target, const char *inittab, bool has_openrc);
/* Path of the image's init, NULL when it has none that fits. */
const char *setup_find_init(void);

#endif
