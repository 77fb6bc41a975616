/* SPDX-License-Identifier: ISC */
/* gate.c: One function per row of docs/web.md's table; the first that says no decides. */
#include "daemon/web/gate.h"

#include <stdio.h>
#include <strings.h>

enum { HOST_MAX = 64, PORT_DIGITS = 5 };

static const char *const names[] = {WEB_HOST, "localhost", "127.0.0.1"};

/* The port as in a Host header: nothing, or ":1" to ":65535". */
static bool port_valid(const char *p)
{
	size_t len;

	if (!*p)
		return true;
	len = strspn(p + 1, "0123456789");
	return *p == ':' && len > 0 && len <= PORT_DIGITS && !p[1 + len] && p[1] != '0' &&
	       strtoul(p + 1, NULL, 10) <= UINT16_MAX;
}

/* Whole names only: a prefix would let 127.0.0.1.example.com pass. -1: not ours. */
static int host_index(const struct gate_header *host)
{
	if (host->count != 1 || strlen(host->value) > HOST_MAX)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);

		if (strncasecmp(host->value, names[i], len) == 0 && port_valid(host->value + len))
			return (int)i;
	}
	return -1;
}

static bool is(const struct gate_header *h, const char *value)
{
	return h->count == 1 && bg_streq(h->value, value);
}

static bool is_or_absent(const struct gate_header *h, const char *value)
{
	return h->count == 0 || is(h, value);
}

static bool origin_own(const struct gate_request *q)
{
	char own[HOST_MAX + 16];

	snprintf(own, sizeof(own), "http://%s", q->host.value);
	return q->origin.count == 1 && strcasecmp(q->origin.value, own) == 0;
}

static bool origin_own_or_absent(const struct gate_request *q)
{
	return q->origin.count == 0 || origin_own(q);
}

/* A top-level navigation: never an image, a script or a frame, nor something fetched ahead. */
static bool is_document(const struct gate_request *q)
{
	return q->origin.count == 0 && is_or_absent(&q->mode, "navigate") &&
	       is_or_absent(&q->dest, "document");
}

static enum gate_answer check_page(const struct gate_request *q)
{
	bool near = is_or_absent(&q->site, "same-origin") || is(&q->site, "none");

	if (!is_document(q))
		return GATE_REFUSED;
	if (q->signed_in && near)
		return GATE_PASS;
	return near || q->bounced ? GATE_SIGN_IN : GATE_BOUNCE;
}

/* The link is used up by a person's click alone. */
static enum gate_answer check_open(const struct gate_request *q)
{
	return is_document(q) && q->purpose.count == 0 ? GATE_PASS : GATE_REFUSED;
}

static enum gate_answer check_asset(const struct gate_request *q)
{
	return origin_own_or_absent(q) &&
			       (is_or_absent(&q->site, "same-origin") || is(&q->site, "none"))
		       ? GATE_PASS
		       : GATE_REFUSED;
}

static enum gate_answer check_data(const struct gate_request *q)
{
	/* A log is also a document of its own, for a browser without JavaScript. */
	bool read =
		is(&q->site, "same-origin") || (is_document(q) && is_or_absent(&q->site, "none"));

	return q->signed_in && read && origin_own_or_absent(q) ? GATE_PASS : GATE_REFUSED;
}

static enum gate_answer check_socket(const struct gate_request *q)
{
	/* Chromium sends no Sec-Fetch-Site here. */
	return q->signed_in && origin_own(q) && is_or_absent(&q->site, "same-origin")
		       ? GATE_PASS
		       : GATE_REFUSED;
}

static enum gate_answer check_change(const struct gate_request *q)
{
	return q->signed_in && q->form && origin_own(q) && is_or_absent(&q->site, "same-origin")
		       ? GATE_PASS
		       : GATE_REFUSED;
}

typedef enum gate_answer (*check_fn)(const struct gate_request *q);

static const check_fn checks[GATE_KIND_MAX_] = {
	[GATE_PAGE] = check_page,
	[GATE_OPEN] = check_open,
	[GATE_ASSET] = check_asset,
	[GATE_DATA] = check_data,
	[GATE_SOCKET] = check_socket,
	[GATE_CHANGE] = check_change,
};

enum gate_answer gate_check(const struct gate_request *q)
{
	enum http_method wanted = q->kind == GATE_CHANGE ? HTTP_POST : HTTP_GET;
	int host = host_index(&q->host);
	bool document = q->kind == GATE_PAGE || q->kind == GATE_OPEN;

	if (host < 0)
		return GATE_WRONG_HOST;
	if (q->method != wanted)
		return GATE_WRONG_METHOD;
	if (host > 0) /* the cookie and all that needs it belong to one name */
		return document && is_document(q) ? GATE_MOVE
		       : q->kind == GATE_ASSET	  ? check_asset(q)
						  : GATE_REFUSED;
	return checks[q->kind](q);
}
