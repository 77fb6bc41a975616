/* SPDX-License-Identifier: ISC */
/* plain_init.h: PID 1 of an image that has no init of its own, such as a container image. */
#ifndef BANGER_GUEST_PLAIN_INIT_H
#define BANGER_GUEST_PLAIN_INIT_H

#include "common/base.h"

/*
 * Runs the image's ssh server, reaps what is left behind, and ends the machine when
 * asked with busybox's signals (SIGUSR2 power off, SIGTERM reboot) or systemd's.
 */
_noreturn_ void plain_init_run(const char *sshd);

#endif
