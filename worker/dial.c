/* SPDX-License-Identifier: ISC */
/* See dial.h. */
#include "worker/dial.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common/frame.h"
#include "worker/reach.h"

enum { SERVICE_MAX = 32, ADDRESSES_MAX = 32, STACK = 256 * 1024 };

struct question {
	bool names; /* what a host's addresses are; else a connection */
	int family, type, protocol, flags;
	struct sockaddr_storage to;
	socklen_t len;
	char host[NI_MAXHOST], service[SERVICE_MAX];
};

struct address {
	int family, type, protocol;
	socklen_t len;
	struct sockaddr_in6 to; /* the largest there is */
};

struct answer {
	int error; /* 0 or -errno; of names an EAI_ code */
	size_t n;
	struct address addresses[ADDRESSES_MAX];
};

/* A question for names while a thread of the dialer looks for them. */
struct search {
	struct question question;
	int to;
};

static int dialer = -1;

void dial_through(int fd)
{
	dialer = fd;
}

bool dial_is_elsewhere(void)
{
	return dialer >= 0;
}

/* *fd: the connection, or -1. 0, or -errno when the dialer does not answer. */
static int ask(const struct question *q, struct answer *ret, int *fd)
{
	_close_ int mine = -1, other = -1;
	size_t len = 0, nfds = 0;
	int pair[2], r;

	*fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	mine = pair[0];
	other = pair[1];
	r = bg_frame_send(dialer, q, sizeof(*q), &other, 1);
	bg_close(TAKE_FD(other));
	if (r >= 0)
		r = bg_frame_recv(mine, ret, sizeof(*ret), &len, fd, 1, &nfds);
	if (r >= 0 && len != sizeof(*ret))
		r = -EPIPE;
	return r;
}

/* The dialer's: a connection that has begun, or -errno. */
static int begin(const struct sockaddr *to, socklen_t len, int type, int protocol)
{
	_close_ int fd = -1;

	if (!reach_allows(to))
		return -EACCES;
	fd = socket(to->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0 || (connect(fd, to, len) < 0 && errno != EINPROGRESS))
		return -errno;
	return TAKE_FD(fd);
}

int dial_to(const struct sockaddr *to, socklen_t len, int type, int protocol)
{
	struct question q = {
		.family = to->sa_family, .type = type, .protocol = protocol, .len = len};
	struct answer a = {0};
	int fd, r;

	if (len > sizeof(q.to))
		return -EINVAL;
	if (dialer < 0) {
		fd = reach_allows(to) ? socket(q.family, type | SOCK_CLOEXEC, protocol) : -EACCES;
		return fd == -1 ? -errno : fd;
	}
	memcpy(&q.to, to, len);
	r = ask(&q, &a, &fd);
	if (r < 0)
		return r;
	return fd >= 0 ? fd : a.error < 0 ? a.error : -EPIPE;
}

static struct addrinfo *entry(const struct address *a)
{
	struct addrinfo *i = calloc(1, sizeof(*i) + sizeof(a->to));

	if (!i)
		return NULL;
	*i = (struct addrinfo){.ai_family = a->family,
		.ai_socktype = a->type,
		.ai_protocol = a->protocol,
		.ai_addrlen = a->len,
		.ai_addr = (struct sockaddr *)(void *)(i + 1)};
	memcpy(i + 1, &a->to, sizeof(a->to));
	return i;
}

int dial_names(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	struct question q = {.names = true};
	struct addrinfo **end = ret;
	struct answer a = {0};
	int fd;

	*ret = NULL;
	if (snprintf(q.host, sizeof(q.host), "%s", host ? host : "") >= (int)sizeof(q.host) ||
		snprintf(q.service, sizeof(q.service), "%s", service ? service : "") >=
			(int)sizeof(q.service))
		return EAI_NONAME;
	if (hints) {
		q.family = hints->ai_family;
		q.type = hints->ai_socktype;
		q.protocol = hints->ai_protocol;
		q.flags = hints->ai_flags & ~AI_CANONNAME;
	}
	if (ask(&q, &a, &fd) < 0)
		return EAI_AGAIN;
	bg_close(fd);
	for (size_t i = 0; a.error == 0 && i < BG_MIN(a.n, ADDRESSES_MAX); i++) {
		*end = entry(&a.addresses[i]);
		if (!*end)
			break;
		end = &(*end)->ai_next;
	}
	return a.error == 0 && !*ret ? EAI_MEMORY : a.error;
}

void dial_free_names(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *next = list->ai_next;

		free(list);
		list = next;
	}
}

/* The caller's text ends where its array does. */
static bool is_text(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static void find(const struct question *q, struct answer *a)
{
	const struct addrinfo hints = {.ai_family = q->family,
		.ai_socktype = q->type,
		.ai_protocol = q->protocol,
		.ai_flags = q->flags};
	struct addrinfo *list = NULL;

	a->error = EAI_NONAME;
	if (is_text(q->host, sizeof(q->host)) && is_text(q->service, sizeof(q->service)))
		a->error = getaddrinfo(
			*q->host ? q->host : NULL, *q->service ? q->service : NULL, &hints, &list);
	for (const struct addrinfo *i = list; i && a->n < ADDRESSES_MAX; i = i->ai_next) {
		struct address *to = &a->addresses[a->n];

		if (i->ai_addrlen > sizeof(to->to))
			continue;
		*to = (struct address){
			i->ai_family, i->ai_socktype, i->ai_protocol, i->ai_addrlen, {0}};
		memcpy(&to->to, i->ai_addr, i->ai_addrlen);
		a->n++;
	}
	if (list)
		freeaddrinfo(list);
}

static void *search(void *arg)
{
	_free_ struct search *s = arg;
	_close_ int to = s->to;
	struct answer a = {0};

	find(&s->question, &a);
	(void)bg_frame_send(to, &a, sizeof(a), NULL, 0); /* who asked may be gone */
	return NULL;
}

/* In a thread: a name server that is slow keeps no connection waiting. Takes to. */
static int search_beside(const struct question *q, int to)
{
	_close_ int owned = to;
	_free_ struct search *s = calloc(1, sizeof(*s));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!s || pthread_attr_init(&attr) != 0)
		return -ENOMEM;
	*s = (struct search){*q, to};
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&thread, &attr, search, s);
	(void)pthread_attr_destroy(&attr);
	if (r != 0)
		return -r;
	TAKE_PTR(s);
	TAKE_FD(owned);
	return 0;
}

/* Takes to. */
static void connect_for(const struct question *q, int to)
{
	_close_ int owned = to, fd = -1;
	struct answer a = {0};

	/* Of other protocols a message with an address can lead elsewhere (SCTP). */
	fd = q->len <= sizeof(q->to) && q->type == SOCK_STREAM &&
			     (q->protocol == 0 || q->protocol == IPPROTO_TCP)
		     ? begin((const struct sockaddr *)&q->to, q->len, q->type, q->protocol)
		     : -EINVAL;
	a.error = BG_MIN(fd, 0);
	(void)bg_frame_send(owned, &a, sizeof(a), &fd, fd >= 0);
}

void dial_serve(int sock)
{
	struct question q;
	size_t len, nfds;
	int to;

	while (bg_frame_recv(sock, &q, sizeof(q), &len, &to, 1, &nfds) >= 0) {
		if (nfds != 1 || len != sizeof(q))
			return;
		if (!q.names)
			connect_for(&q, to);
		else
			(void)search_beside(&q, to); /* else its end closes: try again */
	}
}
