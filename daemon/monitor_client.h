/* SPDX-License-Identifier: ISC */
/*
 * monitor_client.h: the engine's side of monitor_proto.h. One per engine; owns the socket. What can
 * be asked of the monitor is what needs to gain privilege: mmdebstrap, the helpers.
 */
#ifndef BG_DAEMON_MONITOR_CLIENT_H
#define BG_DAEMON_MONITOR_CLIENT_H

#include "common/err.h"
#include "daemon/loop/loop.h"
#include "daemon/monitor_proto.h"

struct monitor_client;
struct bootstrap;

/* What the monitor wants of the engine. */
struct monitor_events {
	void (*gone)(void *userdata);			     /* it died: the engine is to stop */
	void (*stop)(enum monitor_stop why, void *userdata); /* the engine is to stop */
	void (*listen)(
		int fd, void *userdata); /* fd, taken, in the place of the listening socket */
};

/* sock is taken; events is borrowed for ever. */
int monitor_client_new(struct loop *loop, int sock, const struct monitor_events *events,
	void *userdata, struct monitor_client **ret, struct bg_err **err);
/* All bootstraps must have been freed. */
void monitor_client_free(struct monitor_client *client);
BG_DEFINE_UNREF(monitor_client, struct monitor_client *, monitor_client_free)

/* Says that the engine serves, and from then on that its loop runs: before that, its death is a failed
 * start and not a reason to start again; after it, silence is. */
int monitor_client_ready(struct monitor_client *client);
/* For an engine that cannot start and has no client: what those who wait are answered. Then it ends. */
void monitor_say_failed(int sock, const struct bg_err *why);

/* sock: of the new helper, taken; -1 when it cannot be started. Comes once, in the loop, unless the monitor dies. */
typedef void (*helper_started_fn)(int sock, void *userdata);
/* One request for each at a time. 0 or -errno. */
int monitor_helper_start(struct monitor_client *client, enum monitor_helper which,
	helper_started_fn done, void *userdata);

/* Everything borrowed for the call. */
struct bootstrap_spec {
	const char *suite;	     /* "bookworm" */
	const char *mirror;	     /* URL; NULL: the tool's choice */
	bool minimal;		     /* only what it takes to boot and be reached */
	const char *const *packages; /* besides those of every image */
	unsigned n_packages;
	int out_fd; /* gets the tar; close your copy to see its end */
	int log_fd; /* gets the tool's raw words */
};

/*
 * wait_status as from waitpid(2): exit status 0 is success, 127: mmdebstrap could not be started
 * (the log says why), 126: the monitor refused. Comes once, in the loop, unless freed first. When
 * the monitor dies it does not come: gone does.
 */
typedef void (*bootstrap_done_fn)(int wait_status, void *userdata);

/*
 * IMAGE_INVALID for words that cannot be a suite, URL or package; TOOL_MISSING when mmdebstrap or
 * newuidmap is not installed.
 */
int monitor_bootstrap_start(struct monitor_client *client, const struct bootstrap_spec *spec,
	bootstrap_done_fn done, void *userdata, struct bootstrap **ret, struct bg_err **err);
/* Cancels when it still runs: its processes and files go, some seconds later, without our waiting.
 */
void bootstrap_free(struct bootstrap *bootstrap);
BG_DEFINE_UNREF(bootstrap, struct bootstrap *, bootstrap_free)

#endif
