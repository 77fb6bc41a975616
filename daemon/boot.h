/* SPDX-License-Identifier: ISC */
/*
 * boot.h: how bangerd starts and says how that went. Used by main, monitor and engine.
 *
 * The ready fd gets one line from the monitor: "ok" once the engine serves, or why it does not, as the API has errors:
 * {"error": {"code", "message", "hint", "errno", "exit"}}. Without one, errors go to stderr as a sentence. The same text
 * answers those who wait at the socket, and lies in start-error.json of the state folder until a start succeeds.
 */
#ifndef BG_DAEMON_BOOT_H
#define BG_DAEMON_BOOT_H

#include <sys/types.h>

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
	ENGINE_FD_DISK,	  /* absent when there is no disk helper */
	ENGINE_FD_LOG,	  /* of log_writer.h: where lines of the log go */
	ENGINE_FD_WORKER_LOG,
	ENGINE_FD_MAX_
};

/* What the file of our socket is, to see that it is still ours. */
struct bound_socket {
	/* the service manager's, which listens at it again when we have ended: never removed */
	bool inherited;
	dev_t dev;
	ino_t ino;
};

/* SIGPIPE and SIGXFSZ are errors of a write, not ends; SIGHUP is nothing to us. */
void boot_signals(void);
/* "ok"; forgets why an earlier start failed. Closes *fd. */
void boot_ready(const struct bg_paths *paths, int *fd);
/* The error as said above, one line; the caller's, NULL when out of memory. */
char *boot_error_text(const struct bg_err *err);
/* Closes *fd: the text there; without one nothing. */
void boot_tell(int *fd, const char *text);
/* boot_tell, or a sentence on stderr when there is no fd. */
void boot_failed(int *fd, const struct bg_err *err);
/* Into start-error.json. */
void boot_note(const struct bg_paths *paths, const char *text);
/* Answers whoever waits at the socket with that HTTP status and text; what they asked is not read. Does not block. */
void boot_refuse(int listen_fd, int status, const char *text);

/*
 * The lock of the state folder (bangerd.lock: the monitor's pid, then its socket); DAEMON_RUNNING when another bangerd has
 * it. Waits some seconds for an engine that lost its monitor, then ends it: it hangs.
 */
int boot_lock(const struct bg_paths *paths, int *ret_fd, struct bg_err **err);
/* Binds and listens, mode 0600; one that was left behind is replaced: call with the lock held. */
int boot_listen(
	const struct bg_paths *paths, int *ret_fd, struct bound_socket *ret, struct bg_err **err);
/* Is the socket's file still the one that was bound? */
bool boot_bound(const struct bg_paths *paths, const struct bound_socket *bound);
/* Removes it when it is. */
void boot_unlisten(const struct bg_paths *paths, const struct bound_socket *bound);
/* Sends the log to paths->log_file, of which the environment has the level, and sees that the workers' can be opened, too. */
int boot_log(const struct bg_paths *paths, struct bg_err **err);
/* What ps and top show. */
void boot_title(int argc, char **argv, const char *title, const char *comm);
/* The same again, in a child of the process that was given a title; without one only comm. */
void boot_retitle(const char *title, const char *comm);

#endif
