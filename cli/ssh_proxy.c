/* SPDX-License-Identifier: ISC */
/*
 * ssh_proxy.c: what ssh runs for NAME.vm: finds the VM's address, connects, and passes the
 * connected socket to ssh over stdout (ProxyUseFdpass in ssh_config(5)), so that no process of ours
 * stands between the two. Starts nothing: neither the daemon nor the VM.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "cli/client.h"
#include "cli/cmd_ssh_config.h"
#include "cli/cmd_vm_io.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/name.h"

enum { CONNECT_MS = 10000 };

/* "web.vm" or "web" to "web". */
static int name_of_host(const char *host, char out[BG_NAME_MAX + 1], struct bg_err **err)
{
	size_t len = strlen(host);

	if (len > 3 && bg_streq(host + len - 3, ".vm"))
		len -= 3;
	if (len > BG_NAME_MAX)
		len = BG_NAME_MAX;
	memcpy(out, host, len);
	out[len] = '\0';
	return bg_name_check("VM", out, err);
}

static int wait_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int errnum = 0, n;

	do
		n = poll(&p, 1, CONNECT_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
		return -errno;
	return -errnum;
}

static int connect_to(const char *address, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return -EINVAL;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return -errno;
	r = wait_connected(fd);
	if (r >= 0)
		r = bg_set_nonblock(fd, false);
	return r < 0 ? r : TAKE_FD(fd);
}

static int pass(int fd)
{
	char byte = 0;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(STDOUT_FILENO, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int ssh_proxy(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *port_text = args->positional[1];
	unsigned long port = strtoul(port_text, NULL, 10);
	char name[BG_NAME_MAX + 1];
	_json_ json_t *vm = NULL;
	_close_ int fd = -1;
	int r = name_of_host(args->positional[0], name, err);

	if (r >= 0 && (port < 1 || port > UINT16_MAX))
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "\"%.20s\" is not a port", port_text);
	if (r >= 0)
		r = client_call(cli, CLIENT_NO_START, ROUTE_VM_SHOW, name, NULL, &vm, err);
	if (r >= 0)
		r = vm_check_reachable(name, vm, err);
	if (r < 0)
		return r;
	fd = connect_to(render_text(vm, "address"), (uint16_t)port);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, -fd, "connect to VM \"%s\" at %s, port %lu", name,
			render_text(vm, "address"), port);
	r = pass(fd);
	if (r == -ENOTSOCK) {
		r = bg_err_set(err, BG_ERR_USAGE, ENOTSOCK, "ssh-proxy is for ssh to call");
		bg_err_hint(err, "`banger ssh-config` prints the lines that do");
		return r;
	}
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "hand the connection to ssh") : BG_EXIT_OK;
}
