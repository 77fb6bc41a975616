/* SPDX-License-Identifier: ISC */
/* See link.h. */
#include "guest/link.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/agent_proto.h"
#include "common/fd.h"
#include "guest/log.h"
#include "guest/mounts.h"

#define PORTS "/sys/class/virtio-ports"

static bool is_ours(int ports, const char *port)
{
	_free_ char *name = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/name", port);
	if (bg_read_file_at(ports, path, 256, &name, NULL) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return bg_streq(name, BG_AGENT_PORT);
}

static int open_port(void)
{
	DIR *dir = opendir(PORTS);
	struct dirent *e;
	char path[300];
	int fd = -1;

	if (!dir)
		return -ENODEV;
	errno = ENODEV;
	while (fd < 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !is_ours(dirfd(dir), e->d_name))
			continue;
		(void)snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (fd < 0)
		fd = errno ? -errno : -ENODEV;
	(void)closedir(dir);
	return fd;
}

static int open_virtio(struct link *l, int watch_fd, unsigned timeout_ms, struct bg_err **err)
{
	const uint64_t until = uptime_ms() + timeout_ms;

	for (;;) {
		uint64_t now = uptime_ms();

		l->fd = open_port();
		if (l->fd >= 0)
			return 0;
		if (now >= until)
			return bg_err_sys(
				err, BG_ERR_AGENT, -l->fd, "virtio-serial port %s", BG_AGENT_PORT);
		mounts_wait_event(watch_fd, until - now);
	}
}

static int open_vsock(struct link *l, struct bg_err **err)
{
	const struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = BG_AGENT_VSOCK_PORT};

	l->listen = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->listen < 0 || bind(l->listen, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(l->listen, 4) < 0)
		return bg_err_sys(err, BG_ERR_AGENT, errno, "vsock port %d", BG_AGENT_VSOCK_PORT);
	return 0;
}

int link_open(struct link *l, enum conf_agent kind, int watch_fd, unsigned timeout_ms,
	struct bg_err **err)
{
	*l = (struct link){.kind = kind, .fd = -1, .listen = -1};
	if (kind == CONF_AGENT_VSOCK)
		return open_vsock(l, err);
	return open_virtio(l, watch_fd, timeout_ms, err);
}

int link_accept(struct link *l)
{
	int fd = accept4(l->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	l->fd = bg_close(l->fd);
	l->fd = fd;
	return 0;
}

void link_hangup(struct link *l)
{
	if (l->kind == CONF_AGENT_VSOCK)
		l->fd = bg_close(l->fd);
}
