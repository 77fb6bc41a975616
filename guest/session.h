/* SPDX-License-Identifier: ISC */
/*
 * session.h: the streams of the conversation (common/agent_proto.h): commands that the host
 * runs here, with their input, output and windows. Owned by agent.c, whose epoll it uses. It holds at
 * most BG_AGENT_WINDOW bytes of input for each, and output only in the conversation's own buffer.
 */
#ifndef BG_GUEST_SESSION_H
#define BG_GUEST_SESSION_H

#include "guest/conversation.h"

enum { SESSIONS_MAX = 64 };

/* Hooks itself into conversation; keeps both. Blocks SIGCHLD and reads it from an fd of its own. */
void sessions_init(struct conversation *conversation, int epoll);
/* An event of epoll: true when fd was one of ours. */
bool sessions_event(int fd);
/* Moves what can be moved; true when something was. Ends what is due. */
bool sessions_pump(void);
/* Milliseconds until something is due; -1: nothing. */
int sessions_timeout(void);

#endif
