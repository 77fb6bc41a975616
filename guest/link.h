/* SPDX-License-Identifier: ISC */
/*
 * link.h: the carrier of the agent's byte stream: a virtio-serial port that the host
 * opens and closes as it likes, or a vsock socket that it connects to. Owned by agent.c.
 */
#ifndef BG_GUEST_LINK_H
#define BG_GUEST_LINK_H

#include "common/err.h"
#include "guest/conf.h"

struct link {
	enum conf_agent kind;
	int fd;	    /* the stream; -1 under vsock while nobody is connected */
	int listen; /* vsock only, else -1 */
};

/*
 * Opens the carrier; under virtio waits for the port with events on watch_fd
 * (mounts_watch_devices), at most timeout_ms.
 */
int link_open(struct link *l, enum conf_agent kind, int watch_fd, unsigned timeout_ms,
	struct bg_err **err);
/* vsock: a host has connected; an earlier connection is dropped. */
int link_accept(struct link *l);
/* The stream is at its end: under vsock it is closed, a port stays open. */
void link_hangup(struct link *l);

#endif
