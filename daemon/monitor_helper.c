/* SPDX-License-Identifier: ISC */
/* See monitor_helper.h. */
#include "daemon/monitor_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "common/log.h"
#include "daemon/priv/priv_client.h"

enum { GRACE_MS = 1000, STUCK_MAX = 4 };

struct child {
	struct monitor_helpers *all;
	enum monitor_helper which;
	int pidfd;
	struct loop_source *exit;
	LIST_ENTRY(child) link;
};

struct monitor_helpers {
	struct loop *loop;
	struct child *now[MONITOR_HELPER_MAX_];
	LIST_HEAD(, child) list; /* those of now, and those that do not die */
};

/* Out of all lists; a process that lives on is let go of. */
static void child_free(struct child *child)
{
	if (child->all->now[child->which] == child)
		child->all->now[child->which] = NULL;
	LIST_REMOVE(child, link);
	loop_source_free(child->exit);
	bg_close(child->pidfd);
	free(child);
}

static void on_exit_(pid_t pid, int status, void *userdata)
{
	char text[16];

	(void)pid;
	snprintf(text, sizeof(text), "%d", status);
	log_msg(LOG_DEBUG, "monitor", "a helper ended", "status", text, NULL);
	child_free(userdata);
}

int monitor_helpers_new(struct loop *loop, struct monitor_helpers **ret)
{
	struct monitor_helpers *helpers = calloc(1, sizeof(*helpers));

	if (!helpers)
		return -ENOMEM;
	helpers->loop = loop;
	LIST_INIT(&helpers->list);
	*ret = helpers;
	return 0;
}

void monitor_helpers_free(struct monitor_helpers *helpers)
{
	if (!helpers)
		return;
	while (!LIST_EMPTY(&helpers->list))
		child_free(LIST_FIRST(&helpers->list));
	free(helpers);
}

/*
 * One that has lost its engine ends by itself, soon; killed at any point, the next one puts right
 * what it left. The next one finds the ledger locked while this one lives, so its death is worth a
 * short wait; a longer one is not ours.
 */
static void end_last(struct child *child)
{
	struct pollfd pfd = {.fd = child->pidfd, .events = POLLIN};

	(void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
	if (poll(&pfd, 1, GRACE_MS) > 0) {
		(void)waitid(P_PIDFD, (id_t)child->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
		child_free(child);
		return;
	}
	log_msg(LOG_ERROR, "monitor", "a helper hangs in the kernel and does not die", NULL);
	child->all->now[child->which] = NULL; /* on_exit_ frees it, some day */
}

static unsigned count(const struct monitor_helpers *helpers)
{
	const struct child *child;
	unsigned n = 0;

	LIST_FOREACH (child, &helpers->list, link)
		n++;
	return n;
}

static int watch(struct monitor_helpers *helpers, struct child *child, pid_t pid)
{
	child->pidfd = pidfd_open(pid, 0);
	if (child->pidfd < 0)
		return -errno;
	return loop_add_exit(
		helpers->loop, "helper", pid, child->pidfd, on_exit_, child, &child->exit);
}

int monitor_helpers_start(struct monitor_helpers *helpers, enum monitor_helper which)
{
	const char *path =
		which == MONITOR_HELPER_NET ? priv_helper_path() : priv_disk_helper_path();
	_close_ int sock = -1;
	struct child *child;
	pid_t pid;
	int r;

	if (helpers->now[which])
		end_last(helpers->now[which]);
	if (count(helpers) >= STUCK_MAX)
		return -EBUSY;
	child = calloc(1, sizeof(*child));
	if (!child)
		return -ENOMEM;
	*child = (struct child){.all = helpers, .which = which, .pidfd = -1};
	LIST_INSERT_HEAD(&helpers->list, child, link);
	helpers->now[which] = child;
	r = priv_spawn_helper(path, &sock, &pid);
	if (r >= 0)
		r = watch(helpers, child, pid);
	if (r < 0) {
		child_free(child); /* its socket closes: one that was started ends by that */
		return r;
	}
	(void)fcntl(sock, F_SETFD, FD_CLOEXEC);
	return TAKE_FD(sock);
}
