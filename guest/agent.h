/* SPDX-License-Identifier: ISC */
/*
 * agent.h: the part of banger-init that stays and answers the host. A child of PID 1 in a
 * session of its own, forked before the image's init runs.
 */
#ifndef BG_GUEST_AGENT_H
#define BG_GUEST_AGENT_H

#include "guest/conf.h"

struct agent_setup {
	const struct conf *conf;
	uint32_t flags;	  /* enum bg_agent_flag, as far as known at the fork */
	const char *sshd; /* NULL: the image has none */
	int setup;	  /* ends when setup.h is through; -1 when it was not begun */
	int events;	  /* mounts_watch_devices; the agent closes its copy */
	char **argv;	  /* main's: renamed so that shutdowns spare the agent */
};

/* Forks the agent, without the fd not_for_it (or -1); in the child it does not return. 0 or -errno. */
int agent_start(const struct agent_setup *setup, int not_for_it);

#endif
