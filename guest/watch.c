/* SPDX-License-Identifier: ISC */
/* See watch.h. */
#include "guest/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "common/fd.h"
#include "guest/log.h"

enum {
	SSH_PORT = 22,
	TABLE_MAX = 1024 * 1024,
	EAGER_MS = 10,	     /* between two looks after the program was opened, */
	EAGER_FOR_MS = 3000, /* for this long */
	BOOTING_MS = 250,    /* else, while the guest boots */
	BOOTING_FOR_MS = 120000,
	IDLE_MS = 2000, /* a server that is installed or started later */
	LISTEN_STATE = 0x0a,
};

const char *watch_find_sshd(void)
{
	static const char *const paths[] = {"/usr/sbin/sshd", "/usr/bin/sshd",
		"/usr/local/sbin/sshd", "/usr/sbin/dropbear", "/usr/bin/dropbear"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

void watch_init(struct watch *w, const char *sshd)
{
	*w = (struct watch){.fd = -1};
	if (!sshd)
		return;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd >= 0 && inotify_add_watch(w->fd, sshd, IN_OPEN) < 0)
		w->fd = bg_close(w->fd);
}

void watch_event(struct watch *w)
{
	char buf[1024];

	while (read(w->fd, buf, sizeof(buf)) > 0)
		;
	w->eager_until = uptime_ms() + EAGER_FOR_MS;
}

bool watch_has_listener(const char *text, unsigned port)
{
	while ((text = strchr(text, '\n'))) {
		unsigned local, state;

		text++;
		if (sscanf(text, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local, &state) == 2 &&
			local == port && state == LISTEN_STATE)
			return true;
	}
	return false;
}

static bool listens_in(const char *path)
{
	_free_ char *text = NULL;

	return bg_read_file_at(AT_FDCWD, path, TABLE_MAX, &text, NULL) == 0 &&
	       watch_has_listener(text, SSH_PORT);
}

bool watch_check(struct watch *w)
{
	if (!w->found && (listens_in("/proc/net/tcp") || listens_in("/proc/net/tcp6"))) {
		w->found = true;
		w->fd = bg_close(w->fd);
	}
	return w->found;
}

int watch_timeout(const struct watch *w)
{
	uint64_t now = uptime_ms();

	if (w->found)
		return -1;
	if (now < w->eager_until)
		return EAGER_MS;
	return now < BOOTING_FOR_MS ? BOOTING_MS : IDLE_MS;
}
