/* SPDX-License-Identifier: ISC */
/* See service.h. */
#include "daemon/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/notify.h"

enum { FIRST_FD = 3, FDS_MAX = 64 };

static char *manager; /* as bg_notify takes it; NULL: there is none. As long as the process */
static bool watched;
static unsigned n_fds;

/* A number that is ours to use only when the variable beside it names this process, or is not there. */
static unsigned long number_for_us(const char *name, const char *pid_name)
{
	const char *text = getenv(name), *pid = getenv(pid_name);
	char *end = NULL;
	unsigned long n = 0;

	if (text && (!pid || strtol(pid, NULL, 10) == (long)getpid()))
		n = strtoul(text, &end, 10);
	return end && !*end ? n : 0;
}

void service_init(bool mine)
{
	static const char *const all[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
		"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
	/* Without LISTEN_PID it is not said whose they are. */
	unsigned long n = 0;

	if (mine && getenv("LISTEN_PID"))
		n = number_for_us("LISTEN_FDS", "LISTEN_PID");
	n_fds = (unsigned)BG_MIN(n, (unsigned long)FDS_MAX);
	for (unsigned i = 0; i < n_fds; i++)
		(void)bg_set_cloexec(FIRST_FD + (int)i, true);
	free(TAKE_PTR(manager));
	if (mine && getenv("NOTIFY_SOCKET"))
		manager = strdup(getenv("NOTIFY_SOCKET"));
	watched = mine && number_for_us("WATCHDOG_USEC", "WATCHDOG_PID") > 0;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		(void)unsetenv(all[i]);
}

static bool is_int(int fd, int what, int wanted)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, what, &value, &len) >= 0 && value == wanted;
}

/* A listening stream socket whose name is that path; the file may be another's by now. */
static bool listens_at(int fd, const char *path)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr);

	return is_int(fd, SO_DOMAIN, AF_UNIX) && is_int(fd, SO_TYPE, SOCK_STREAM) &&
	       is_int(fd, SO_ACCEPTCONN, 1) &&
	       getsockname(fd, (struct sockaddr *)&addr, &len) >= 0 && len < sizeof(addr) &&
	       bg_streq(addr.sun_path, path);
}

int service_listen(const struct bg_paths *paths, struct bound_socket *ret)
{
	int found = -1;
	struct stat st = {0};

	for (int fd = FIRST_FD; fd < FIRST_FD + (int)n_fds; fd++) {
		if (found < 0 && listens_at(fd, paths->socket)) {
			found = fd;
			continue;
		}
		log_msg(LOG_WARN, "monitor",
			"a socket of the service manager is not at the place of ours: closed",
			"ours", paths->socket, NULL);
		bg_close(fd);
	}
	n_fds = 0;
	if (found < 0)
		return -1;
	(void)fcntl(found, F_SETFL, fcntl(found, F_GETFL) | O_NONBLOCK);
	(void)lstat(paths->socket, &st);
	*ret = (struct bound_socket){.inherited = true, .dev = st.st_dev, .ino = st.st_ino};
	return found;
}

void service_say(const char *text)
{
	(void)bg_notify(manager, text);
}

void service_alive(void)
{
	if (watched)
		service_say("WATCHDOG=1");
}
