/* SPDX-License-Identifier: ISC */
/*
 * daemon_proc.h: the daemon as processes, for when it does not answer: who holds the lock of the state folder, and how it
 * is ended without its help. Must never signal a process that it has not made sure of under a pidfd.
 */
#ifndef BG_CLI_DAEMON_PROC_H
#define BG_CLI_DAEMON_PROC_H

#include "cli/cli.h"

/* The monitor's pid, by the lock file; 0 when no bangerd holds it. */
pid_t daemon_proc_pid(const struct cli *cli);
/* Ends monitor and engine: asked first, then killed. TIMEOUT when even that does not help. 0 also when there is none. */
int daemon_proc_end(const struct cli *cli, struct bg_err **err);
/* To the error of a call that had no answer, or any other, which stays: the hint says what is seen of a daemon that does not answer: it waits for a disk, or was stopped. */
void daemon_proc_explain(const struct cli *cli, struct bg_err *err);

#endif
