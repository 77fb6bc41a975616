/* SPDX-License-Identifier: ISC */
/*
 * The C library's getaddrinfo, for libcurl in this program: a name is looked up by the dialer (dial.h), since the seal lets
 * a network job make no socket. libcurl is loaded later and finds this one first. In the dialer itself, and before there is
 * one, the C library's own answers.
 */
#include <dlfcn.h>

#include "worker/dial.h"

#define EXPORTED __attribute__((visibility("default")))

typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef void free_list(struct addrinfo *);

EXPORTED int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	if (dial_is_elsewhere())
		return dial_names(host, service, hints, ret);
	return ((look_up *)dlsym(RTLD_NEXT, "getaddrinfo"))(host, service, hints, ret);
}

EXPORTED void freeaddrinfo(struct addrinfo *list)
{
	if (dial_is_elsewhere())
		dial_free_names(list);
	else
		((free_list *)dlsym(RTLD_NEXT, "freeaddrinfo"))(list);
}
