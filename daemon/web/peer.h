/* SPDX-License-Identifier: ISC */
/* peer.h: whose process is at the other end of a TCP connection on this host, as SO_PEERCRED tells it of a unix socket. */
#ifndef BG_DAEMON_WEB_PEER_H
#define BG_DAEMON_WEB_PEER_H

#include <sys/types.h>

/*
 * Asks the kernel (sock_diag(7)); nothing waits. -EACCES when the peer is not on this host or has closed already:
 * then the kernel has no owner to name, and says 0.
 */
int peer_uid(int fd, uid_t *ret);

#endif
