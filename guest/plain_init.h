/* SPDX-License-Identifier: ISC */
/*
 * plain_init.h: PID 1 of an image that has no init of its own, such as a container image,
 * and of every image while its package manager brings in what it lacks (setup.h).
 */
#ifndef BG_GUEST_PLAIN_INIT_H
#define BG_GUEST_PLAIN_INIT_H

#include "guest/setup.h"

struct plain_init {
	const char *sshd;		   /* NULL: none (yet) */
	const char *init;		   /* NULL: none (yet) */
	const struct setup_family *family; /* NULL: nothing to bring in */
	enum setup_wish wish;
	int setup; /* closed when that is through */
};

/*
 * Brings in what is wished for, runs the ssh server, reaps what is left behind, and ends
 * the machine when asked with busybox's signals (SIGUSR2 power off, SIGTERM reboot) or
 * systemd's. Returns when the image has an init to become: its path.
 */
const char *plain_init_run(struct plain_init *p);

#endif
