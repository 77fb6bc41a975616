/* SPDX-License-Identifier: ISC */
/*
 * claim.h: one daemon for each user and network. Another state folder of the same uid (another HOME or XDG_STATE_HOME) would
 * share the network helper's slots with the first, and give back the taps that the first one's VMs run on. Taken by the monitor
 * at its start; held by an abstract socket, which ends with the process and is the network's, as the taps are.
 */
#ifndef BG_DAEMON_CLAIM_H
#define BG_DAEMON_CLAIM_H

#include "common/paths.h"

/* DAEMON_RUNNING with the other's state folder, also when only VMs of it run. *ret_fd is kept open by the monitor. */
int claim_take(const struct bg_paths *paths, int *ret_fd, struct bg_err **err);
/* Tells those who ask whose claim it is; fd is readable. Never blocks. */
void claim_answer(int fd, const struct bg_paths *paths);

#endif
