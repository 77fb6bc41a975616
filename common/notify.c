/* SPDX-License-Identifier: ISC */
/* notify.c: One datagram to $NOTIFY_SOCKET; without it nothing happens. */
#include "common/notify.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"

/* "/path", or "@name" of the abstract kind, which has a 0 in the place of the @ and none at its end. */
int bg_notify(const char *where, const char *text)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = where ? strlen(where) : 0;
	_close_ int fd = -1;

	if (len == 0)
		return 0;
	if (len < 2 || len >= sizeof(addr.sun_path) || (where[0] != '/' && where[0] != '@'))
		return -EINVAL;
	memcpy(addr.sun_path, where, len + 1);
	if (where[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		       (const struct sockaddr *)&addr,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0
		       ? -errno
		       : 0;
}
