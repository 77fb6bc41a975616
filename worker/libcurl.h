/* SPDX-License-Identifier: ISC */
/*
 * libcurl.h: libcurl as net.c calls it. It is loaded by the jobs that speak to servers, before
 * their seal, and by no other: it brings along 26 more libraries (LDAP, Kerberos, SSH), which would
 * double the start of every worker and lie in the memory of those that read archives.
 */
#ifndef BG_WORKER_LIBCURL_H
#define BG_WORKER_LIBCURL_H

#define CURL_DISABLE_TYPECHECK /* its macros would call by name */
#include <curl/curl.h>

#include "common/err.h"

#define LIBCURL_CALLS(X)                                                                           \
	X(curl_global_init)                                                                        \
	X(curl_multi_init)                                                                         \
	X(curl_multi_cleanup)                                                                      \
	X(curl_multi_add_handle)                                                                   \
	X(curl_multi_remove_handle)                                                                \
	X(curl_multi_perform)                                                                      \
	X(curl_multi_poll)                                                                         \
	X(curl_multi_info_read)                                                                    \
	X(curl_easy_init)                                                                          \
	X(curl_easy_cleanup)                                                                       \
	X(curl_easy_setopt)                                                                        \
	X(curl_easy_getinfo)                                                                       \
	X(curl_easy_strerror)                                                                      \
	X(curl_slist_append)                                                                       \
	X(curl_slist_free_all)

struct libcurl {
#define X(call) __typeof__(call) *call;
	LIBCURL_CALLS(X)
#undef X
};

/* Filled by libcurl_load, which must come first. */
extern struct libcurl lc;

int libcurl_load(struct bg_err **err);

#endif
