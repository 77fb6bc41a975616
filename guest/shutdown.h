/* SPDX-License-Identifier: ISC */
/*
 * shutdown.h: how the machine ends. The agent asks whatever init runs; our own init, and
 * a boot that failed, end it themselves.
 */
#ifndef BG_GUEST_SHUTDOWN_H
#define BG_GUEST_SHUTDOWN_H

#include "common/agent_proto.h"
#include "guest/conf.h"

/*
 * From the agent: asks PID 1 in its own way to go down, once. Falls back to
 * shutdown_machine when there is no way to ask. Returns while the guest goes down.
 */
void shutdown_request(const struct conf *conf, enum bg_agent_shutdown how);
/*
 * Ends every process, makes the file systems clean and the machine stop or start anew.
 * Where the machine cannot power off it halts, which the host sees (daemon/vm/console.h).
 */
_noreturn_ void shutdown_machine(enum bg_agent_shutdown how);

#endif
