/* SPDX-License-Identifier: ISC */
/* net_impl.h: net.c (calls and their completion) and its two carriers, net_helper.c and net_fake.c.
 */
#ifndef BG_DAEMON_DRIVER_NET_IMPL_H
#define BG_DAEMON_DRIVER_NET_IMPL_H

#include <sys/queue.h>

#include "daemon/driver/net.h"

enum net_kind { NET_HELLO, NET_LIST, NET_ATTACH, NET_DETACH, NET_NAT, NET_DNS, NET_READY };

/* Where a call is. Its owner may let go of it (forgotten) at any time before NET_CALL_DONE. */
enum net_call_state {
	NET_CALL_WAITING, /* in net->waiting: for HELLO, or for room in the socket */
	NET_CALL_SENT,	  /* in net->sent: the helper answers in this order */
	NET_CALL_DONE,	  /* in no list; the completion is queued in the loop, or was given */
};

struct net_call {
	struct net *net; /* NULL when the net is gone */
	TAILQ_ENTRY(net_call) link;
	enum net_call_state state;
	enum net_kind kind;
	unsigned slot;
	struct net_reach reach; /* NET_NAT */
	int socks[2];		/* NET_DNS: duplicates */
	uint32_t id;
	bool forgotten;
	struct loop_source *deferred;
	struct net_card card;
	struct bg_err *err;
	net_attach_fn attached;
	net_done_fn done;
	void *userdata;
};
TAILQ_HEAD(net_calls, net_call);

struct net {
	struct loop *loop;
	const struct net_carrier *carrier;
	struct net_calls waiting, sent;
	bool ready;
	unsigned slots;
	char gateway[16];
	uint64_t held;
	struct bg_err *err; /* why nothing works any more */
	bool expected;	    /* a new helper is on its way */
	void (*lost)(void *userdata);
	void *lost_data;
	/* helper */
	int sock;
	char *helper_path;
	uint32_t next_id;
	struct loop_source *io, *deadline;
	/* fake */
	unsigned fail_in;
	uint64_t attached, nat, peers;
};

struct net_carrier {
	/* Something waits, and the net works. */
	void (*pump)(struct net *net);
	/* A new helper behind net->sock. */
	void (*begin)(struct net *net);
	void (*release)(struct net *net);
};

struct net *net_alloc(struct loop *loop, const struct net_carrier *carrier);
/* A call of the carrier's own. NULL when out of memory. Not in a list yet. */
struct net_call *net_call_new(struct net *net, enum net_kind kind, unsigned slot);
void net_call_sent(struct net_call *call);
/* err is taken. The owner hears of it in the next turn of the loop. */
void net_call_finish(struct net_call *call, struct bg_err *err);
/* HELLO and LIST are answered: those who wait for that hear of it, the others are sent. */
void net_set_ready(struct net *net);
/* err is taken: every call, now and later, ends with it. */
void net_die(struct net *net, struct bg_err *err);

#endif
