/* SPDX-License-Identifier: ISC */
/*
 * launch.h: starts bangerd and waits until it says that it is ready; waits until
 * it is gone. Both wait on file descriptors, none sleeps.
 */
#ifndef BG_CLI_LAUNCH_H
#define BG_CLI_LAUNCH_H

#include "cli/cli.h"

/*
 * Starts the daemon unless another banger just did. Returns when it serves its socket. Its own
 * words reach *err when it could not.
 */
int launch_daemon(struct cli *cli, struct bg_err **err);
/* The same, and never by the service manager. */
int launch_alone(struct cli *cli, struct bg_err **err);
/* Where bangerd is: next to the build tree's CLI, in the same folder, or in libexec; the caller's.
 */
char *launch_find_bangerd(void);
/* A pidfd to wait on, or -errno. */
int launch_pidfd(int64_t pid);
/* Waits until the process of pidfd has ended; TIMEOUT after seconds. */
int launch_wait_gone(int pidfd, int seconds, struct bg_err **err);

#endif
