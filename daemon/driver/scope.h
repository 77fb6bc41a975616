/* SPDX-License-Identifier: ISC */
/*
 * scope.h: a cgroup of its own for a VMM, with limits: a transient scope of the user's systemd, which is asked for at the private
 * socket of its manager, without a bus. Only where the daemon is a unit of that manager itself: there a scope ends when the
 * daemon's own cgroup would. What cannot be had leaves the process where it is.
 */
#ifndef BG_DAEMON_DRIVER_SCOPE_H
#define BG_DAEMON_DRIVER_SCOPE_H

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct scope_call;

struct scope_spec {
	const char *unit; /* "x.scope" */
	const char *description;
	pid_t pid;
	uint64_t memory_high; /* bytes */
};

enum { SCOPE_CPU_WEIGHT = 50, SCOPE_TASKS_MAX = 512 };

/* err is borrowed, NULL on success. Comes once unless the call is freed first. */
typedef void (*scope_done_fn)(const struct bg_err *err, void *userdata);

/* The manager's socket; the caller's. NULL: this process is not in a unit of one, and *ret_why, static, says so; else that is NULL. */
char *scope_socket(const char **ret_why);
int scope_start(struct loop *loop, const char *socket, const struct scope_spec *spec,
	scope_done_fn done, void *userdata, struct scope_call **ret, struct bg_err **err);
void scope_call_free(struct scope_call *call);
BG_DEFINE_UNREF(scope_call, struct scope_call *, scope_call_free)

/* For tests: is a process with this /proc/PID/cgroup in a unit of the manager of uid? */
bool scope_in_manager(const char *cgroups, uid_t uid);

#endif
