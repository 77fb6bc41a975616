/* SPDX-License-Identifier: ISC */
/* forward.c: Reads the switch; writes it only when it is off. */
#include "privhelper/forward.h"

#include <fcntl.h>

#include "privhelper/trusted.h"

int forward_open(struct forward *ret)
{
	_close_ int dir = trusted_open("/proc/sys/net/ipv4", TRUSTED_DIR);
	int value;

	if (dir < 0)
		return dir;
	value = openat(dir, "ip_forward", O_RDONLY | O_CLOEXEC);
	if (value < 0)
		return -errno;
	ret->dir = TAKE_FD(dir);
	ret->value = value;
	return 0;
}

static bool is_on(const struct forward *f)
{
	char c = '0';

	return pread(f->value, &c, 1, 0) == 1 && c != '0';
}

int forward_ensure(const struct forward *f)
{
	_close_ int fd = -1;

	if (is_on(f))
		return 0;
	fd = openat(f->dir, "ip_forward", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, "1", 1) != 1)
		return -EIO;
	return is_on(f) ? 0 : -EIO;
}
