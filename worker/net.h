/* SPDX-License-Identifier: ISC */
/*
 * net.h: transfers over HTTP and HTTPS, several at once, for sealed jobs. A body goes to memory or
 * to a file, hashed on its way. Owns libcurl; nothing else in the worker calls it. Must never
 * follow a redirect to another protocol than those, from https to http, or with credentials to
 * another host.
 */
#ifndef BG_WORKER_NET_H
#define BG_WORKER_NET_H

#include "worker/digest.h"

struct net;

/* What one transfer is told, and what it tells. Strings are borrowed. */
struct transfer {
	const char *url;
	const char *name;   /* in messages: "layer 3 of …" */
	const char *accept; /* header lines; NULL for none */
	char *const *auth;  /* where the present header line with credentials is; NULL for none */
	const char *post;   /* form to send with POST; NULL: GET */
	const char *user, *password; /* basic credentials; NULL for none */
	uint64_t max;		     /* more bytes of body are an error */
	uint64_t want;		     /* exactly so many, when known; 0: whatever comes */
	/*
	 * The file: written from `size` on, which counts what it has and what digest has seen. fd -1
	 * collects the body in text instead, which is the caller's to free.
	 */
	int fd;
	struct digest *digest;
	uint64_t size;
	char *text;
	/* Asked when the server wants credentials (401): 1 to try again, 0 for no. NULL: no. */
	int (*authorize)(struct transfer *t, struct bg_err **err);
	void *userdata;

	long status;	 /* of the last answer */
	char *challenge; /* its WWW-Authenticate lines, one after the other; the caller's to free */
	char *type;	 /* its Content-Type without parameters; the caller's to free */
	uint64_t fetched; /* bytes of body that came */
	uint64_t total;	  /* size that the file will have; 0: not known yet */

	/* net.c's */
	void *handle;
	void *headers;
	struct net *net;
	struct bg_err *err;
	bool too_near; /* an address was refused: dial.h */
	unsigned tries;
	unsigned authorized; /* authorize's own: how often it got something new for this one */
	char *auth_used;     /* the line that the last try was sent with */
	char *complaint;     /* start of the body of an answer that refuses */
	size_t complaint_len;
};

/* Before the seal: TLS reads its configuration. */
int net_start(struct bg_err **err);
/* stall_s: seconds without as much as a trickle before a transfer is given up. */
int net_new(struct job *job, unsigned stall_s, struct net **ret, struct bg_err **err);
void net_free(struct net *net);
BG_DEFINE_UNREF(net, struct net *, net_free)

/*
 * Runs all n of list, `parallel` at a time; the first that fails ends it. A connection that breaks
 * is made again a few times and goes on where the file ends. Reports progress as bytes: base and
 * what the transfers have; sets the job's total when there is only one. Statuses from 400 on are NET_STATUS, but for a transfer whose
 * `fd` is -1: its caller looks at status itself.
 */
int net_run(struct net *net, struct transfer **list, size_t n, unsigned parallel, uint64_t base,
	struct bg_err **err);
/* The error for an answer that is not a success; for callers that got a document. */
int transfer_refused(struct transfer *t, struct bg_err **err);
/* Frees what it gathered, not the digest. */
void transfer_clear(struct transfer *t);

#endif
