/* SPDX-License-Identifier: ISC */
/* killall.h: signals for all processes of a session, in whatever groups a shell has put them. */
#ifndef BG_GUEST_KILLALL_H
#define BG_GUEST_KILLALL_H

#include <sys/types.h>

/* leader: its session id; also continues what is stopped. */
void killall_session(pid_t leader, int sig);

#endif
