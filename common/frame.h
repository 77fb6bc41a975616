/* SPDX-License-Identifier: ISC */
/*
 * frame.h: one datagram with descriptors over a SOCK_SEQPACKET unix socket.
 * Used on every border that is not HTTP. Owns nothing: the socket is the
 * caller's, received descriptors become the caller's. Must never hand out a part
 * of a datagram or of its descriptors: what was cut short is an error and closed.
 */
#ifndef BG_COMMON_FRAME_H
#define BG_COMMON_FRAME_H

#include "common/base.h"

#define BG_FRAME_FDS_MAX 16

/*
 * Sends one datagram; fds stay the caller's. 0 or -errno; -EAGAIN on a full
 * non-blocking socket, -EPIPE when the peer is gone (never SIGPIPE): what it sent before
 * can still be received.
 */
int bg_frame_send(int sock, const void *buf, size_t len, const int *fds, size_t nfds);
/*
 * Receives one datagram of at most size bytes and max_fds descriptors (all
 * close-on-exec). -EPIPE at the end, -EMSGSIZE when the datagram is longer,
 * -EBADMSG when it carries more descriptors or another kind of control message,
 * -EAGAIN on an empty non-blocking socket. Nothing is left open after an error.
 */
int bg_frame_recv(int sock, void *buf, size_t size, size_t *ret_len, int *fds, size_t max_fds,
	size_t *ret_nfds);

#endif
