/* SPDX-License-Identifier: ISC */
/*
 * gate.h: who is let in, decided from a request's headers alone, before its route is looked up. The rules are docs/web.md's table. Pure:
 * nothing in here asks, waits or remembers.
 *
 * Another port of this host is the same site for a browser, which then sends our cookie along: so the page lives under a host name of its
 * own, only "same-origin" counts, and every change needs our own Origin.
 */
#ifndef BG_DAEMON_WEB_GATE_H
#define BG_DAEMON_WEB_GATE_H

#include "daemon/http/http.h"

#define WEB_HOST "banger.localhost"

/* What is asked for; each kind has its row of the table. */
enum gate_kind {
	GATE_PAGE,   /* a document; needs the cookie */
	GATE_OPEN,   /* a document that signs in, or says how */
	GATE_ASSET,  /* style, script, icon: no secret in it */
	GATE_DATA,   /* events, logs */
	GATE_SOCKET, /* a WebSocket */
	GATE_CHANGE, /* POST */
	GATE_KIND_MAX_
};

struct gate_header {
	unsigned count;
	const char *value; /* of the first; NULL when there is none */
};

struct gate_request {
	enum http_method method;
	enum gate_kind kind;
	struct gate_header host, origin, site, mode, dest, purpose;
	bool signed_in; /* the cookie is a session's */
	bool bounced;	/* it went through the bounce already */
	bool form;	/* a body, if any, is application/x-www-form-urlencoded */
};

enum gate_answer {
	GATE_PASS,
	GATE_WRONG_HOST,   /* 421 */
	GATE_WRONG_METHOD, /* 405 */
	GATE_REFUSED,	   /* 403 */
	GATE_MOVE,	   /* a document of another of our names: a page that leads to WEB_HOST */
	GATE_BOUNCE, /* a link from elsewhere, for which the browser holds the cookie back: a page that leads to the same again */
	GATE_SIGN_IN, /* a page that says how to get in */
};

enum gate_answer gate_check(const struct gate_request *request);

#endif
