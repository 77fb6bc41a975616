/* SPDX-License-Identifier: ISC */
/*
 * monitor.h: the unsealed half of bangerd, kept small: it holds the listening socket and the lock,
 * starts the network helper and the engine, starts the engine again when that dies, and runs
 * mmdebstrap for it (which must gain privilege by newuidmap; nothing below the engine can). It must
 * never parse anything but the messages of monitor_proto.h.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include "common/paths.h"

/* lock_fd, listen_fd, ready_fd (or -1) are taken. Returns the exit status. */
int monitor_run(const struct bg_paths *paths, int lock_fd, int listen_fd, int ready_fd);

#endif
