/* SPDX-License-Identifier: ISC */
/*
 * Takes a connection away from evhttp. evhttp has no such call, and shuts down and closes the
 * descriptor of every connection it frees: so it is given another socket under the same number
 * first, and the client's goes on under a new one.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/http/call.h"

static int swap_socket(struct bufferevent *bev, int *ret_fd)
{
	int fd = bufferevent_getfd(bev);
	_close_ int mine = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	_close_ int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (mine < 0 || other < 0)
		return -errno;
	/* The loop forgets the descriptor while it is still the client's. */
	if (bufferevent_disable(bev, EV_READ | EV_WRITE) < 0)
		return -EIO;
	if (dup3(other, fd, O_CLOEXEC) < 0)
		return -errno;
	*ret_fd = TAKE_FD(mine);
	return 0;
}

int http_upgrade(struct http_call *call, int *ret_fd)
{
	struct evhttp_connection *evcon = call_connection(call);
	struct bufferevent *bev;
	struct bg_err *err = NULL;
	int r;

	if (!call->req && !call->own) {
		call_free(call);
		return -ECONNRESET;
	}
	if (call->own) {
		bg_err_set(&err, BG_ERR_BAD_REQUEST, ENOTSUP, "a session needs a connection");
		http_reply_error(call, err);
		return -ENOTSUP;
	}
	bev = evhttp_connection_get_bufferevent(evcon);
	r = evbuffer_get_length(bufferevent_get_input(bev)) > 0 ? -EPROTO
								: swap_socket(bev, ret_fd);
	if (r < 0) {
		bg_err_sys(&err, r == -EPROTO ? BG_ERR_BAD_REQUEST : BG_ERR_INTERNAL, -r,
			"upgrade the connection");
		http_reply_error(call, err);
		return r;
	}
	evhttp_connection_set_closecb(evcon, NULL, NULL);
	call_free(call);
	evhttp_connection_free(evcon);
	return 0;
}
