/* SPDX-License-Identifier: ISC */
/* monitor_bootstrap.h: the monitor's running bootstraps (daemon/bootstrap.h), by the engine's ids.
 */
#ifndef BG_DAEMON_MONITOR_BOOTSTRAP_H
#define BG_DAEMON_MONITOR_BOOTSTRAP_H

#include "daemon/loop/loop.h"
#include "daemon/monitor_proto.h"

struct bootstraps;
typedef void (*bootstrap_exit_fn)(uint32_t id, int status, void *userdata);

int bootstraps_new(
	struct loop *loop, bootstrap_exit_fn exited, void *userdata, struct bootstraps **ret);
/* Those still there are told to end, and not waited for: each sees to itself. */
void bootstraps_free(struct bootstraps *all);
BG_DEFINE_UNREF(bootstraps, struct bootstraps *, bootstraps_free)

/* -EINVAL for what is not allowed, -EEXIST for an id in use, -EBUSY when there are too many. */
int bootstraps_start(struct bootstraps *all, const struct monitor_packet *packet);
/* Of an id that has ended already: nothing. */
void bootstraps_cancel(struct bootstraps *all, uint32_t id);
/* The engine died: nobody waits for them any more. */
void bootstraps_abandon(struct bootstraps *all);

#endif
