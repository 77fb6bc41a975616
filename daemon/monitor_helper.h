/* SPDX-License-Identifier: ISC */
/*
 * monitor_helper.h: the monitor's children that hold privilege: one network and one disk helper at a time. Each is
 * watched and reaped. One that does not die (it hangs in the kernel) is let go of after GRACE_MS: the monitor must not
 * wait for it, and must not gather them without bound.
 */
#ifndef BG_DAEMON_MONITOR_HELPER_H
#define BG_DAEMON_MONITOR_HELPER_H

#include "daemon/loop/loop.h"
#include "daemon/monitor_proto.h"

struct monitor_helpers;

int monitor_helpers_new(struct loop *loop, struct monitor_helpers **ret);
/* Lets them run: they end with their engine. */
void monitor_helpers_free(struct monitor_helpers *helpers);
/*
 * Kills the last one of that kind and starts another: its socket, the caller's, or -errno: -EBUSY while too many of the
 * last ones still hang. Blocks for at most a second, for the death of the last.
 */
int monitor_helpers_start(struct monitor_helpers *helpers, enum monitor_helper which);

#endif
