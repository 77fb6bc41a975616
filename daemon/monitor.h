/* SPDX-License-Identifier: ISC */
/*
 * monitor.h: the unsealed half of bangerd, kept small: it holds the listening socket and the lock,
 * starts the network helper and the engine, starts the engine again when that dies or hangs, makes the
 * socket again when its file is removed, tells those who wait why a start failed, and runs
 * mmdebstrap for it (which must gain privilege by newuidmap; nothing below the engine can). It must
 * never parse anything but the messages of monitor_proto.h.
 */
#ifndef BG_DAEMON_MONITOR_H
#define BG_DAEMON_MONITOR_H

#include "daemon/boot.h"

struct monitor_fds {
	int lock;
	int claim; /* -1: none */
	int listen;
	int ready;		   /* -1: nobody waits */
	struct bound_socket bound; /* how listen was made */
};

/* The descriptors are taken. Returns the exit status. */
int monitor_run(const struct bg_paths *paths, const struct monitor_fds *fds);

#endif
