/* SPDX-License-Identifier: ISC */
/* rawtty.c: The old modes are kept beside the descriptor and put back once. */
#include "cli/rawtty.h"

void rawtty_enter(struct rawtty *raw, int fd)
{
	struct termios t;

	raw->fd = -1;
	if (fd < 0 || tcgetattr(fd, &raw->old) < 0)
		return;
	t = raw->old;
	cfmakeraw(&t);
	if (tcsetattr(fd, TCSADRAIN, &t) >= 0)
		raw->fd = fd;
}

void rawtty_leave(struct rawtty *raw)
{
	if (raw->fd >= 0)
		(void)tcsetattr(raw->fd, TCSADRAIN, &raw->old);
	raw->fd = -1;
}

bool rawtty_size(int fd, struct winsize *ret)
{
	struct winsize size;

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0)
		return false;
	*ret = size;
	return true;
}
