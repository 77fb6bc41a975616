/* SPDX-License-Identifier: ISC */
/*
 * boot.h: how bangerd starts and says how that went. Used by main, monitor and engine.
 *
 * The ready fd gets one line: "ok" once the engine serves, or the error as JSON ({"code",
 * "message", "hint", "errno"}) from whoever fails. Without one, errors go to stderr as a sentence.
 */
#ifndef BOOT_H
#define BOOT_H

#include "common/err.h"
#include "common/paths.h"

/*
 * Exit statuses of the engine that the monitor tells apart; any other end is a crash. START + e: it
 * could not start, said why, and the monitor is to end with status e (enum bg_exit).
 */
enum { ENGINE_EXIT_OK = 0, ENGINE_EXIT_START = 32, ENGINE_EXIT_START_MAX = 63 };

/* The engine is this executable again, with these descriptors (see main.c). */
enum {
	ENGINE_FD_LISTEN = 3,
	ENGINE_FD_MONITOR,
	ENGINE_FD_LOCK,	  /* held open only: the lock ends with the last of us */
	ENGINE_FD_HELPER, /* absent when the helper could not be started */
	ENGINE_FD_READY,  /* absent when the engine is started again */
	ENGINE_FD_DISK,	  /* absent when there is no disk helper */
	ENGINE_FD_MAX_
};

/* Closes *fd. */
void boot_ready(int *fd);
void boot_failed(int *fd, const struct bg_err *err);

/* The lock file of the run directory; DAEMON_RUNNING when another bangerd has it. */
int boot_lock(const struct bg_paths *paths, int *ret_fd, struct bg_err **err);
/* Binds and listens, mode 0600; one that was left behind is replaced: call with the lock held. */
int boot_listen(const struct bg_paths *paths, int *ret_fd, struct bg_err **err);
/* Sends the log to paths->log_file; level from config, or info. */
int boot_log(const struct bg_paths *paths, int level, struct bg_err **err);
/* What ps and top show. */
void boot_title(int argc, char **argv, const char *title, const char *comm);

#endif
