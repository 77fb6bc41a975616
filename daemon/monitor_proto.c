/* SPDX-License-Identifier: ISC */
/* monitor_proto.c: Encoding and checks of both directions, so that the two ends cannot differ. */
#include "daemon/monitor_proto.h"

#include <assert.h>
#include <sys/socket.h>

int monitor_send(int sock, const struct monitor_msg *msg, const char *payload, const int *fds,
	unsigned n_fds)
{
	union {
		char buf[CMSG_SPACE(MONITOR_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov[] = {
		{(void *)(uintptr_t)msg, sizeof(*msg)}, {(void *)(uintptr_t)payload, msg->length}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = msg->length ? 2 : 1};
	struct cmsghdr *cmsg;

	assert(n_fds <= MONITOR_FDS_MAX && msg->length <= MONITOR_PAYLOAD_MAX);
	if (n_fds > 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void monitor_packet_done(struct monitor_packet *packet)
{
	for (unsigned i = 0; i < MONITOR_FDS_MAX; i++)
		packet->fds[i] = bg_close(packet->fds[i]);
	packet->n_fds = 0;
}

static void take_fds(struct msghdr *mh, struct monitor_packet *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (ret->n_fds < MONITOR_FDS_MAX)
				ret->fds[ret->n_fds++] = fd;
			else
				bg_close(fd);
		}
	}
}

static unsigned fds_of(const struct monitor_msg *msg)
{
	if (msg->verb == MONITOR_BOOTSTRAP)
		return 2;
	if (msg->verb == MONITOR_LISTEN)
		return 1;
	return msg->verb == MONITOR_HELPER && msg->status == 0 ? 1 : 0;
}

static bool id_fits(const struct monitor_msg *msg)
{
	if (msg->verb == MONITOR_WANT_HELPER || msg->verb == MONITOR_HELPER)
		return msg->id < MONITOR_HELPER_MAX_;
	return msg->verb != MONITOR_STOP || msg->id < MONITOR_STOP_MAX_;
}

static bool well_formed(const struct msghdr *mh, size_t n, const struct monitor_packet *p)
{
	if (mh->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return false;
	if (n < sizeof(p->msg) || n - sizeof(p->msg) != p->msg.length)
		return false;
	if (p->msg.verb < MONITOR_READY || p->msg.verb > MONITOR_STOP || !id_fits(&p->msg))
		return false;
	return p->n_fds == fds_of(&p->msg) &&
	       (p->msg.length == 0 || p->msg.verb == MONITOR_BOOTSTRAP ||
		       p->msg.verb == MONITOR_FAILED);
}

int monitor_recv(int sock, struct monitor_packet *ret)
{
	union {
		char buf[CMSG_SPACE(MONITOR_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[] = {{&ret->msg, sizeof(ret->msg)}, {ret->payload, sizeof(ret->payload)}};
	struct msghdr mh = {.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	ssize_t n;

	ret->n_fds = 0;
	for (unsigned i = 0; i < MONITOR_FDS_MAX; i++)
		ret->fds[i] = -1;
	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	take_fds(&mh, ret);
	if (well_formed(&mh, (size_t)n, ret))
		return 0;
	monitor_packet_done(ret);
	return -EBADMSG;
}

static bool only(const char *s, const char *set, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n <= max && strspn(s, set) == n;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"

bool bootstrap_suite_valid(const char *suite)
{
	return only(suite, LOWER DIGIT "-", 40) && suite[0] != '-';
}

/* A package name (Debian policy 5.6.1); not "x-", which apt reads as "remove x". */
bool bootstrap_package_valid(const char *package)
{
	size_t n = strlen(package);

	return only(package, LOWER DIGIT ".+-", 100) && strchr(LOWER DIGIT, package[0]) &&
	       package[n - 1] != '-';
}

/* A URL without blanks: mmdebstrap takes other texts as lines for sources.list, or as files. */
bool bootstrap_mirror_valid(const char *mirror)
{
	static const char *const schemes[] = {"http://", "https://", "file:///"};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if (strncmp(mirror, schemes[i], n) == 0)
			return only(mirror + n,
				LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGIT "._~%:/@+-", 500);
	}
	return mirror[0] == '\0';
}

int bootstrap_args_parse(const char *payload, size_t len, struct bootstrap_args *ret)
{
	const char *p = payload, *end = payload + len;

	*ret = (struct bootstrap_args){0};
	if (len == 0 || end[-1] != '\0')
		return -EINVAL;
	for (unsigned field = 0; p < end; p += strlen(p) + 1, field++) {
		if (field == 0)
			ret->suite = p;
		else if (field == 1)
			ret->mirror = p;
		else if (field == 2)
			ret->kind = p;
		else if (ret->n_packages < MONITOR_PACKAGES_MAX && bootstrap_package_valid(p))
			ret->packages[ret->n_packages++] = p;
		else
			return -EINVAL;
	}
	if (!ret->kind || !bootstrap_suite_valid(ret->suite) ||
		!bootstrap_mirror_valid(ret->mirror) ||
		(!bg_streq(ret->kind, BOOTSTRAP_FULL) && !bg_streq(ret->kind, BOOTSTRAP_MINIMAL)))
		return -EINVAL;
	return 0;
}
