/* SPDX-License-Identifier: ISC */
/*
 * net.h: a VM's network card. The real driver sends verbs to banger-privhelper over the socket that the
 * monitor handed the engine; requests are answered in order. When the helper cannot work,
 * every attach gives the error that says why (priv_helper_check).
 */
#ifndef BG_DAEMON_DRIVER_NET_H
#define BG_DAEMON_DRIVER_NET_H

#include <net/if.h>

#include "common/base.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct net;
struct net_call;

struct net_card {
	unsigned slot;
	char tap[IFNAMSIZ];
	char address[16]; /* guest, dotted */
	char gateway[16];
	uint8_t mac[6];
};

typedef void (*net_attach_fn)(
	const struct net_card *card, struct bg_err *err /* borrowed */, void *userdata);
typedef void (*net_done_fn)(struct bg_err *err /* borrowed */, void *userdata);

/* helper_sock is taken; -1 when the monitor could not start the helper. helper_path: for the error that says why. */
int net_new(struct loop *loop, int helper_sock, const char *helper_path, struct net **ret,
	struct bg_err **err);
/* Tests: cards without a kernel object; fails the nth call when told to. */
int net_new_fake(struct loop *loop, struct net **ret);
void net_fake_fail(struct net *net, unsigned nth);
unsigned net_fake_attached(const struct net *net);
/* bitmap of slots with NAT */
uint64_t net_fake_nat(const struct net *net);
uint64_t net_fake_peers(const struct net *net);
void net_free(struct net *net);
BG_DEFINE_UNREF(net, struct net *, net_free)

/* Slots this user may have; 0 until HELLO was answered or when the helper is unusable. */
unsigned net_slots(const struct net *net);
/*
 * What follows the end of a helper: lost is told (not while net_new runs), and every call fails, until net_expect says that
 * another is on its way, for which calls wait, and net_revive brings its socket (taken; -1: there is none).
 */
void net_set_lost(struct net *net, void (*lost)(void *userdata), void *userdata);
void net_expect(struct net *net);
void net_revive(struct net *net, int sock);
/* NULL while the helper works or has not answered yet. Borrowed. */
const struct bg_err *net_error(const struct net *net);

/* Calls made before HELLO is answered wait for it. */
int net_attach(struct net *net, unsigned slot, net_attach_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err);
int net_detach(struct net *net, unsigned slot, net_done_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err);
/* What the guest of an attached slot may reach: the network beyond this host, and this user's other guests that may too. */
struct net_reach {
	bool nat, peers;
};
int net_nat(struct net *net, unsigned slot, struct net_reach reach, net_done_fn done,
	void *userdata, struct net_call **ret, struct bg_err **err);
/* Port 53 of the gateway's address becomes these sockets (dns.h), as long as this helper lives. They stay the caller's. */
int net_dns(struct net *net, int udp, int tcp, net_done_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err);
/* The host's address towards all guests, dotted; "" until HELLO was answered. Borrowed. */
const char *net_gateway(const struct net *net);
/* Forgets the answer; the verb itself is carried out by the helper all the same. */
void net_call_free(struct net_call *call);
BG_DEFINE_UNREF(net_call, struct net_call *, net_call_free)
/* Calls fn in the loop once HELLO was answered or failed; at once when it already was. */
int net_when_ready(struct net *net, net_done_fn fn, void *userdata, struct net_call **ret,
	struct bg_err **err);
/* bitmap of slots that the helper's ledger has for us, as of its last HELLO/LIST: the engine detaches those no VM holds. */
uint64_t net_held(const struct net *net);

#endif
