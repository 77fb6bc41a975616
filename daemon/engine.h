/* SPDX-License-Identifier: ISC */
/*
 * engine.h: the sealed half of bangerd. main starts it as the monitor's child, after sandbox_seal;
 * it owns the loop, the store, the API and everything behind it.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <sys/types.h>

#include "common/paths.h"
#include "daemon/config.h"

/* Everything is borrowed but the descriptors, which engine_run takes. */
struct engine_boot {
	const struct bg_paths *paths;
	const struct config *config;
	int listen_fd;	  /* for http_new */
	int monitor_sock; /* for monitor_client_new */
	int helper_sock;  /* for net_new; -1 when the monitor could not start the helper */
	int ready_fd;	  /* boot_ready(&fd) once it serves; -1 when started again */
	pid_t monitor_pid;
	const char *helper_path; /* for priv_helper_check */
};

/*
 * Runs until SIGTERM, SIGINT, POST /v1/daemon/stop or the monitor's end. 0 after a clean stop. An
 * error before it served is returned, not reported: main does that.
 */
int engine_run(struct engine_boot *boot, struct bg_err **err);

#endif
