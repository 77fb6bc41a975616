/* SPDX-License-Identifier: ISC */
/* See nlmsg.h. */
#include "privhelper/nlmsg.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ANSWER_S = 10 /* the kernel answers at once; loading a module takes a moment */ };

int nlmsg_open(struct nlmsg *n, int protocol, uint32_t groups)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
	const struct timeval wait = {.tv_sec = ANSWER_S};
	socklen_t len = sizeof(local);
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return errno == EPROTONOSUPPORT ? -ENOSYS : -errno;
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
		getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return -errno;
	n->port = local.nl_pid;
	n->fd = TAKE_FD(fd);
	return 0;
}

/* The kernel's own NLA_ALIGN and NLA_HDRLEN are signed. */
#define HEAD sizeof(struct nlattr)
static_assert(HEAD % NLA_ALIGNTO == 0, "the head needs no padding");

static size_t aligned(size_t len)
{
	return (len + NLA_ALIGNTO - 1) & ~(size_t)(NLA_ALIGNTO - 1);
}

/* ---- building ---- */

static void *grow(struct nlmsg *n, size_t size)
{
	void *at = n->out + n->len;

	assert(n->len + size <= sizeof(n->out));
	memset(at, 0, size);
	n->len += size;
	return at;
}

struct nlmsghdr *nlmsg_begin(
	struct nlmsg *n, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	struct nlmsghdr *h = grow(n, NLMSG_SPACE(len));

	h->nlmsg_len = (uint32_t)NLMSG_SPACE(len);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++n->seq;
	memcpy(NLMSG_DATA(h), body, len);
	n->msg = h;
	return h;
}

struct nlattr *nlmsg_put(struct nlmsg *n, uint16_t type, const void *data, size_t len)
{
	size_t size = aligned(HEAD + len);
	struct nlattr *a = grow(n, size);

	a->nla_type = type;
	a->nla_len = (uint16_t)(HEAD + len);
	if (len > 0)
		memcpy((uint8_t *)a + HEAD, data, len);
	n->msg->nlmsg_len += (uint32_t)size;
	return a;
}

void nlmsg_put_str(struct nlmsg *n, uint16_t type, const char *text)
{
	nlmsg_put(n, type, text, strlen(text) + 1);
}

void nlmsg_put_u32(struct nlmsg *n, uint16_t type, uint32_t v)
{
	nlmsg_put(n, type, &v, sizeof(v));
}

struct nlattr *nlmsg_nest(struct nlmsg *n, uint16_t type)
{
	return nlmsg_put(n, type | NLA_F_NESTED, NULL, 0);
}

void nlmsg_nest_end(struct nlmsg *n, struct nlattr *nest)
{
	size_t len = (size_t)(n->out + n->len - (uint8_t *)nest);

	assert(len <= UINT16_MAX);
	nest->nla_len = (uint16_t)len;
}

/* ---- talking ---- */

int nlmsg_send(struct nlmsg *n)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t r;

	do
		r = sendto(n->fd, n->out, n->len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (r < 0 && errno == EINTR);
	n->msg = NULL;
	n->len = 0;
	return r < 0 ? -errno : 0;
}

ssize_t nlmsg_receive(struct nlmsg *n, int flags)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t len = sizeof(from);
		ssize_t r = recvfrom(n->fd, n->in, sizeof(n->in), MSG_TRUNC | flags,
			(struct sockaddr *)&from, &len);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue;
		return (size_t)r > sizeof(n->in) ? -EMSGSIZE : r;
	}
}

int nlmsg_error(const struct nlmsghdr *h)
{
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return -EBADMSG;
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

struct talk {
	uint32_t seq;
	bool dump;
	int result;
	nlmsg_fn fn;
	void *userdata;
};

/* Whether that was the last of the answer. */
static bool hear(struct talk *t, const struct nlmsghdr *h)
{
	if (h->nlmsg_seq != t->seq)
		return false;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		t->result = -EINTR;
	if (h->nlmsg_type == NLMSG_ERROR)
		t->result = nlmsg_error(h);
	if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
		return true;
	if (t->result >= 0)
		t->result = t->fn ? t->fn(h, t->userdata) : -EBADMSG;
	return !t->dump;
}

int nlmsg_talk(struct nlmsg *n, nlmsg_fn fn, void *userdata)
{
	struct talk t = {.seq = n->seq,
		.dump = (n->msg->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP,
		.fn = fn,
		.userdata = userdata};
	int r = nlmsg_send(n);

	while (r >= 0) {
		ssize_t len = nlmsg_receive(n, 0);

		if (len < 0)
			return (int)len;
		NLMSG_EACH(h, n, len)
		if (hear(&t, h))
			return t.result;
	}
	return r;
}

/* ---- taking apart ---- */

const void *nlmsg_data(const struct nlattr *a)
{
	return (const uint8_t *)a + HEAD;
}

size_t nlmsg_data_len(const struct nlattr *a)
{
	return a->nla_len - HEAD;
}

static void parse(const uint8_t *p, size_t len, const struct nlattr **ret, unsigned max)
{
	const uint8_t *end = p + len;

	memset(ret, 0, (max + 1) * sizeof(*ret));
	while ((size_t)(end - p) >= HEAD) {
		const struct nlattr *a = (const void *)p;
		unsigned type = a->nla_type & (unsigned)NLA_TYPE_MASK;

		if (a->nla_len < HEAD || a->nla_len > (size_t)(end - p))
			return;
		if (type <= max)
			ret[type] = a;
		p += BG_MIN(aligned(a->nla_len), (size_t)(end - p));
	}
}

int nlmsg_attrs(const struct nlmsghdr *h, size_t fixed, const struct nlattr **ret, unsigned max)
{
	size_t head = NLMSG_SPACE(fixed);

	if (h->nlmsg_len < head)
		return -EBADMSG;
	parse((const uint8_t *)h + head, h->nlmsg_len - head, ret, max);
	return 0;
}

void nlmsg_nested(const struct nlattr *nest, const struct nlattr **ret, unsigned max)
{
	parse(nest ? nlmsg_data(nest) : NULL, nest ? nlmsg_data_len(nest) : 0, ret, max);
}

uint32_t nlmsg_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (a && nlmsg_data_len(a) >= sizeof(v))
		memcpy(&v, nlmsg_data(a), sizeof(v));
	return v;
}

uint8_t nlmsg_u8(const struct nlattr *a)
{
	return a && nlmsg_data_len(a) >= 1 ? *(const uint8_t *)nlmsg_data(a) : 0;
}

bool nlmsg_is(const struct nlattr *a, const char *text)
{
	return a && nlmsg_data_len(a) == strlen(text) + 1 &&
	       memcmp(nlmsg_data(a), text, strlen(text) + 1) == 0;
}

bool nlmsg_text(const struct nlattr *a, char *ret, size_t size)
{
	size_t n = a ? strnlen(nlmsg_data(a), nlmsg_data_len(a)) : 0;

	if (n == 0 || n >= size)
		return false;
	memcpy(ret, nlmsg_data(a), n);
	ret[n] = '\0';
	return true;
}
