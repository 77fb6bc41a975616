/* SPDX-License-Identifier: ISC */
/*
 * service.h: what a service manager (systemd) gives the monitor and wants to hear of it: the socket that clients come by
 * (LISTEN_FDS), that it serves (NOTIFY_SOCKET), that it lives (WATCHDOG_USEC). Called by main.c and monitor.c. Without such a
 * manager every call does nothing. The protocols are sd_listen_fds(3) and sd_notify(3), spoken without their library. None of
 * the variables reaches a child: what is said there is the monitor's to say.
 */
#ifndef BG_DAEMON_SERVICE_H
#define BG_DAEMON_SERVICE_H

#include "daemon/boot.h"

/* Reads the variables and removes them; before any child is started. mine: this process is the service, not a command's child in one. */
void service_init(bool mine);
/*
 * The inherited socket that lies at paths->socket; -1: none, the daemon makes its own. Any other that was passed is closed:
 * nobody who looks where the command does would come by it. *ret is filled when one is returned, which is the caller's.
 */
int service_listen(const struct bg_paths *paths, struct bound_socket *ret);
/* "READY=1" and its like, one a line. Never blocks; nobody there is no error. */
void service_say(const char *text);
/* service_say("WATCHDOG=1"), where that is waited for. */
void service_alive(void);

#endif
