/* SPDX-License-Identifier: ISC */
/* monitor_helper.h: starts the network helper. Its own header until daemon/priv is there. */
#ifndef MONITOR_HELPER_H
#define MONITOR_HELPER_H

#include <sys/types.h>

/* *ret_sock: our end of the SEQPACKET pair whose other end is the helper's fd 3. The caller reaps
 * the pid. */
int priv_spawn_helper(const char *path, int *ret_sock, pid_t *ret_pid);

#endif
