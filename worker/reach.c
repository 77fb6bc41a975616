/* SPDX-License-Identifier: ISC */
/* See reach.h. */
#include "worker/reach.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

enum { OWN_MAX = 128 };

struct net4 {
	uint32_t address, mask;
	enum reach reach;
};

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (c) << 8 | (d))
#define BITS(n)	       (~0U << (32 - (n)))

/* The first that fits. */
static const struct net4 nets[] = {
	{IP(0, 0, 0, 0), BITS(8), REACH_HERE},
	{IP(127, 0, 0, 0), BITS(8), REACH_HERE},
	{IP(169, 254, 0, 0), BITS(16), REACH_HERE},
	{IP(100, 100, 100, 200), BITS(32), REACH_HERE}, /* metadata: Alibaba's, Azure's, Oracle's */
	{IP(168, 63, 129, 16), BITS(32), REACH_HERE},
	{IP(192, 0, 0, 192), BITS(32), REACH_HERE},
	{IP(224, 0, 0, 0), BITS(3), REACH_HERE}, /* multicast and beyond */
	{IP(10, 0, 0, 0), BITS(8), REACH_PRIVATE},
	{IP(100, 64, 0, 0), BITS(10), REACH_PRIVATE},
	{IP(172, 16, 0, 0), BITS(12), REACH_PRIVATE},
	{IP(192, 168, 0, 0), BITS(16), REACH_PRIVATE},
};

static struct net4 own[OWN_MAX]; /* this host's addresses; the /24 of its guests */
static size_t n_own;
static struct in6_addr own6[OWN_MAX];
static size_t n_own6;
static const char *named[REACH_NAMED_MAX]; /* NULL: looked up */
static size_t n_named;
static enum reach nearest = REACH_WORLD;

static void note(const struct ifaddrs *i)
{
	bool guests = strncmp(i->ifa_name, "bgr", 3) == 0;

	if (i->ifa_addr->sa_family == AF_INET && n_own < OWN_MAX) {
		const struct sockaddr_in *in = (const void *)i->ifa_addr;
		uint32_t mask = guests ? BITS(24) : BITS(32);

		own[n_own++] = (struct net4){ntohl(in->sin_addr.s_addr) & mask, mask, REACH_HERE};
	}
	if (i->ifa_addr->sa_family == AF_INET6 && n_own6 < OWN_MAX)
		own6[n_own6++] =
			((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
}

void reach_start(void)
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next)
		if (i->ifa_addr)
			note(i);
	freeifaddrs(list);
}

static bool look(const struct net4 *list, size_t n, uint32_t address, enum reach *ret)
{
	for (size_t i = 0; i < n; i++)
		if ((address & list[i].mask) == list[i].address) {
			*ret = list[i].reach;
			return true;
		}
	return false;
}

static enum reach of_v4(const uint8_t bytes[4])
{
	uint32_t address = IP(bytes[0], bytes[1], bytes[2], bytes[3]);
	enum reach reach = REACH_WORLD;

	if (!look(own, n_own, address, &reach))
		(void)look(nets, ARRAY_SIZE(nets), address, &reach);
	return reach;
}

static enum reach of_v6(const struct in6_addr *a)
{
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	const uint8_t *b = a->s6_addr;

	for (size_t i = 0; i < n_own6; i++)
		if (memcmp(a, &own6[i], sizeof(*a)) == 0)
			return REACH_HERE;
	if (IN6_IS_ADDR_V4MAPPED(a) || memcmp(b, nat64, sizeof(nat64)) == 0)
		return of_v4(b + 12);
	if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) ||
		memcmp(b, (const uint8_t[12]){0}, 12) == 0) /* also "compatible" ones */
		return REACH_HERE;
	return (b[0] & 0xfe) == 0xfc || IN6_IS_ADDR_SITELOCAL(a) ? REACH_PRIVATE : REACH_WORLD;
}

enum reach reach_of(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return of_v4(
			(const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	if (sa->sa_family == AF_INET6)
		return of_v6(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
	return REACH_HERE;
}

/* The host of [scheme://][user@]host[:port]/..., without the brackets of an IPv6 address. */
static bool host_of(const char *url, char ret[NI_MAXHOST])
{
	const char *scheme = strstr(url, "://"), *at = scheme ? scheme + 3 : url, *user;
	size_t len;

	len = strcspn(at, "/?#");
	user = memrchr(at, '@', len);
	if (user) {
		len -= (size_t)(user + 1 - at);
		at = user + 1;
	}
	if (*at == '[') {
		at++;
		len = strcspn(at, "]");
	} else {
		len = BG_MIN(len, strcspn(at, ":"));
	}
	return len > 0 && snprintf(ret, NI_MAXHOST, "%.*s", (int)len, at) < NI_MAXHOST;
}

/* Whether the name is known now, and how near it is. */
static bool look_up(const char *server)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char host[NI_MAXHOST];

	if (!host_of(server, host))
		return true; /* the world */
	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		nearest = BG_MAX(nearest, reach_of(a->ai_addr));
	freeaddrinfo(list);
	return true;
}

void reach_named(const char *server)
{
	if (server && n_named < REACH_NAMED_MAX)
		named[n_named++] = server;
}

bool reach_allows(const struct sockaddr *sa)
{
	for (size_t i = 0; i < n_named; i++)
		if (named[i] && look_up(named[i]))
			named[i] = NULL;
	return reach_of(sa) <= nearest;
}
